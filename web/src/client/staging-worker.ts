/**
 * Script of a page's staging worker. The page's messages wait at the page until the module has loaded
 * and said so.
 */
import { startStaging } from '../wasm/holdfast.js';
import { loadModule } from './wasm-module.ts';

loadModule().then(startStaging);
