/**
 * Script of the engine worker, shared or dedicated.
 *
 * A shared worker is told of its first page while the module is still loading: ports are taken from the
 * first moment on and handed over when it has loaded. What pages say meanwhile waits in their ports.
 *
 * A module that does not load is tried again for as long as the worker lives: a shared worker stays, and
 * every page to come would join one that has given up. Pages say by themselves that it does not answer.
 */
import { engineConnect, startEngine } from '../wasm/holdfast.js';
import { untilItWorks } from './retry.ts';
import { loadModule } from './wasm-module.ts';

const waiting: MessagePort[] = [];
let connect = (port: MessagePort): void => {
  waiting.push(port);
};

/** Both kinds of worker are handed ports: by `connect` events, or by the page's first message. */
function takePort(event: MessageEvent): void {
  const port = event.ports[0];
  if (port) connect(port);
}

self.addEventListener('connect', (event) => takePort(event as MessageEvent));
self.addEventListener('message', (event) => takePort(event as MessageEvent));

untilItWorks(loadModule).then(() => {
  startEngine();
  connect = engineConnect;
  for (const port of waiting.splice(0)) connect(port);
});
