/** The fault proxy (`upload-testkit`), told what to do and asked what it saw. */
import { type Running, start } from './processes.ts';

/** One request that went through the proxy. */
export interface ProxiedRequest {
  readonly id: number;
  readonly method: string;
  readonly path: string;
  readonly partNumber: number | null;
  readonly uploadId: string | null;
  readonly contentLength: number | null;
  /** Body bytes that the server behind the proxy has taken. */
  readonly bodyBytesForwarded: number;
  readonly status: number | null;
  readonly startMs: number;
  /** `null` while it is in flight. */
  readonly endMs: number | null;
  /** It ended before the whole answer reached the client. */
  readonly cutOff: boolean;
}

export interface ProxySettings {
  /** Cap on request bodies over all connections; `null` for none. */
  readonly uploadBytesPerSecond?: number | null;
  /** Requests that match stay open without moving a byte. */
  readonly block?: { readonly method?: string; readonly pathContains?: string } | null;
}

export class FaultProxy {
  /** `127.0.0.1:PORT`, for clients. */
  readonly address: string;
  readonly #control: string;
  readonly #running: Running;

  private constructor(running: Running, listen: string, control: string) {
    this.#running = running;
    this.address = listen;
    this.#control = `http://${control}`;
  }

  static async start(target: string): Promise<FaultProxy> {
    const running = await start('fault-proxy', ['--target', target], {}, (output) => {
      const line = output.split('\n').find((each) => each.startsWith('{') && each.endsWith('}'));
      return line ? (JSON.parse(line) as { listen: string; control: string }) : undefined;
    });
    return new FaultProxy(running, running.ready.listen, running.ready.control);
  }

  configure(settings: ProxySettings): Promise<unknown> {
    return this.#call('POST', '/config', settings);
  }

  /** Every request so far, in order. */
  log(): Promise<ProxiedRequest[]> {
    return this.#call('GET', '/log') as Promise<ProxiedRequest[]>;
  }

  /** Every PUT so far: parts, and files that are one part. */
  async puts(): Promise<ProxiedRequest[]> {
    return (await this.log()).filter((request) => request.method === 'PUT');
  }

  stop(): Promise<void> {
    return this.#running.kill();
  }

  async #call(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(this.#control + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok)
      throw new Error(`proxy answered ${response.status} to ${path}: ${await response.text()}`);
    return response.json();
  }
}

/** Body bytes of these requests that reached the server. */
export function forwardedBytes(requests: readonly ProxiedRequest[]): number {
  return requests.reduce((sum, request) => sum + request.bodyBytesForwarded, 0);
}

/** One name for each part of each object. */
export function partOf(request: ProxiedRequest): string {
  return `${request.path}#${request.partNumber ?? 1}`;
}

/** Parts that the store took more than once. */
export function storedTwice(puts: readonly ProxiedRequest[]): string[] {
  const stored = puts.filter((put) => put.status === 200).map(partOf);
  return stored.filter((part, index) => stored.indexOf(part) !== index);
}
