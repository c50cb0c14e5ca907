/** How much memory the wasm modules of a page's workers hold, read through the browser's debugger. */
import type { CDPSession, Page } from '@playwright/test';

/** Bytes of every `WebAssembly.Memory` of a worker, by the worker's kind. */
export interface WasmMemory {
  readonly engine: number;
  readonly staging: number;
}

type Call = (method: string, params?: Readonly<Record<string, unknown>>) => Promise<Record<string, unknown>>;

/**
 * Reads the memories of the engine worker (shared) and the staging worker (dedicated).
 *
 * No script of the product is touched: the debugger lists every live object that has the prototype of
 * `WebAssembly.Memory`.
 */
export async function wasmMemory(page: Page): Promise<WasmMemory> {
  const session = await page.context().newCDPSession(page);
  const { targetInfos } = await session.send('Target.getTargets');
  const read = async (type: string, script: string) => {
    const target = targetInfos.find((each) => each.type === type && each.url.includes(script));
    if (!target) throw new Error(`no ${type} runs ${script}`);
    const { sessionId } = await session.send('Target.attachToTarget', {
      targetId: target.targetId,
      flatten: false,
    });
    const bytes = await memoryBytes(callThrough(session, sessionId));
    await session.send('Target.detachFromTarget', { sessionId });
    return bytes;
  };
  const memory = {
    engine: await read('shared_worker', 'engine-worker'),
    staging: await read('worker', 'staging-worker'),
  };
  await session.detach();
  return memory;
}

async function memoryBytes(call: Call): Promise<number> {
  const prototype = await call('Runtime.evaluate', { expression: 'WebAssembly.Memory.prototype' });
  const { objectId: prototypeObjectId } = prototype.result as { objectId: string };
  const found = await call('Runtime.queryObjects', { prototypeObjectId });
  const { objectId } = found.objects as { objectId: string };
  const sum = await call('Runtime.callFunctionOn', {
    objectId,
    functionDeclaration:
      'function () { return this.reduce((sum, memory) => sum + memory.buffer.byteLength, 0); }',
    returnByValue: true,
  });
  const { value } = sum.result as { value: number };
  if (!(value > 0)) throw new Error('the worker holds no wasm memory');
  return value;
}

/** Calls into an attached target by messages: sessions of targets are not to be had from Playwright. */
function callThrough(session: CDPSession, sessionId: string): Call {
  let lastId = 0;
  return (method, params = {}) =>
    new Promise((resolve, reject) => {
      lastId += 1;
      const id = lastId;
      const onMessage = (event: { readonly sessionId: string; readonly message: string }) => {
        const answer = JSON.parse(event.message) as {
          id?: number;
          result?: Record<string, unknown>;
          error?: { message: string };
        };
        if (event.sessionId !== sessionId || answer.id !== id) return;
        session.off('Target.receivedMessageFromTarget', onMessage);
        if (answer.result) resolve(answer.result);
        else reject(new Error(`${method}: ${answer.error?.message}`));
      };
      session.on('Target.receivedMessageFromTarget', onMessage);
      const message = JSON.stringify({ id, method, params });
      session.send('Target.sendMessageToTarget', { sessionId, message }).catch(reject);
    });
}
