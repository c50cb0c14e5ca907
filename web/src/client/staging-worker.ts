/**
 * Script of a page's staging worker. The page's messages wait at the page until the module has loaded
 * and said so. One that does not load is tried again: without it nothing of this page gets to disk.
 */
import { startStaging } from '../wasm/holdfast.js';
import { untilItWorks } from './retry.ts';
import { loadModule } from './wasm-module.ts';

untilItWorks(loadModule).then(startStaging);
