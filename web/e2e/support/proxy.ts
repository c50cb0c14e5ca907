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
  /** The kind of fault it met. */
  readonly fault: FaultKind['kind'] | null;
}

/** Which requests are meant; all that is given must hold. */
export interface RequestFilter {
  readonly method?: string;
  readonly pathContains?: string;
  readonly partNumber?: number;
  /** Signed longer ago than this, by `X-Amz-Date`. */
  readonly urlOlderThanSeconds?: number;
}

export type FaultKind =
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'slowDown' | 'forbidden' | 'errorIn200' | 'loseAnswer' | 'truncateAnswer' }
  | { readonly kind: 'expiredUrl'; readonly cors: boolean }
  | { readonly kind: 'reset' | 'stall'; readonly afterBytes: number };

export interface FaultRule {
  readonly match?: RequestFilter;
  readonly fault: FaultKind;
  /** 0 to 1; 1 where nothing is given. */
  readonly probability?: number;
  /** Strikes so many times and then never again. */
  readonly next?: number;
}

export interface ProxyStats {
  readonly requests: number;
  readonly bodyBytesForwarded: number;
  /** How often each kind has struck; every kind is listed. */
  readonly faults: Readonly<Record<string, number>>;
}

export interface ProxySettings {
  /** Cap on request bodies over all connections; `null` for none. */
  readonly uploadBytesPerSecond?: number | null;
  /** Requests that match stay open without moving a byte. */
  readonly block?: RequestFilter | null;
  /** Wait in ms before each request is passed on. */
  readonly latencyMs?: number;
  /** Wait in ms before the first request of a connection is read. */
  readonly connectionLatencyMs?: number;
  /** Tried in order for each request. */
  readonly faults?: readonly FaultRule[];
  /** Seed of the faults' dice. */
  readonly seed?: number;
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

  /** Stands in front of one server, or balances the load of several. */
  static async start(...targets: readonly string[]): Promise<FaultProxy> {
    const args = targets.flatMap((target) => ['--target', target]);
    const running = await start('fault-proxy', args, {}, (output) => {
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

  /** The PUTs that have not ended. */
  async putsInFlight(): Promise<ProxiedRequest[]> {
    const requests = (await this.#call('GET', '/in-flight')) as ProxiedRequest[];
    return requests.filter((request) => request.method === 'PUT');
  }

  stats(): Promise<ProxyStats> {
    return this.#call('GET', '/stats') as Promise<ProxyStats>;
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
