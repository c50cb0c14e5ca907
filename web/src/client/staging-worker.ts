/**
 * Script of a page's staging worker. The page's messages wait at the page until the module has loaded
 * and said so.
 */
import init, { startStaging } from '../wasm/holdfast.js';

init().then(startStaging);
