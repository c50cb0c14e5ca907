/** Everything behind the page, real: the store, the proxy in front of it, the server. */
import { join } from 'node:path';
import { freePort, poll, type Running, start } from './processes.ts';
import { FaultProxy } from './proxy.ts';
import { Redis } from './redis.ts';
import type { StoreAccess } from './s3.ts';

const ACCESS_KEY = 'holdfast-e2e';
const SECRET_KEY = 'holdfast-e2e-secret-key';
const BUCKET = 'holdfast';
const REGION = 'us-east-1';

export interface StackOptions {
  /** Cap of the link to the store in bytes a second; without it as fast as the machine. */
  readonly uploadBytesPerSecond?: number;
  /** Put a proxy in front of the server as well, and open the page through it. */
  readonly serverProxy?: boolean;
  /** Servers over one Redis, behind a proxy that gives each request to the next of them. */
  readonly replicas?: number;
  /** A store that checks everything and keeps nothing, for sizes that no disk holds. */
  readonly sink?: boolean;
  /** Let clients reach the store itself, where the proxy would be what is measured. */
  readonly pastStoreProxy?: boolean;
  /** Settings of the server by environment variable, over those of a test. */
  readonly serverEnv?: Readonly<Record<string, string>>;
}

/**
 * A store and a server with their data in one folder, each to be killed and started again at the same
 * address. Clients reach the store through {@link Stack.storeProxy}; the server goes past it.
 */
export class Stack {
  readonly storeProxy: FaultProxy;
  readonly serverProxy: FaultProxy | undefined;
  readonly #folder: string;
  readonly #options: StackOptions;
  readonly #storeAddress: string;
  readonly #serverAddresses: readonly string[];
  readonly #redis: Redis | undefined;
  readonly #servers = new Map<string, Running>();
  #store: Running | undefined;

  private constructor(
    folder: string,
    options: StackOptions,
    addresses: { readonly store: string; readonly servers: readonly string[] },
    parts: {
      readonly store: FaultProxy;
      readonly server: FaultProxy | undefined;
      readonly redis: Redis | undefined;
    },
  ) {
    this.#folder = folder;
    this.#options = options;
    this.#storeAddress = addresses.store;
    this.#serverAddresses = addresses.servers;
    this.storeProxy = parts.store;
    this.serverProxy = parts.server;
    this.#redis = parts.redis;
  }

  static async start(folder: string, options: StackOptions = {}): Promise<Stack> {
    const store = `127.0.0.1:${await freePort()}`;
    const servers: string[] = [];
    while (servers.length < (options.replicas ?? 1)) servers.push(`127.0.0.1:${await freePort()}`);
    const behindProxy = options.serverProxy || options.replicas !== undefined;
    const stack = new Stack(
      folder,
      options,
      { store, servers },
      {
        store: await FaultProxy.start(store),
        server: behindProxy ? await FaultProxy.start(...servers) : undefined,
        redis: options.replicas === undefined ? undefined : await Redis.start(join(folder, 'redis')),
      },
    );
    try {
      await stack.storeProxy.configure({ uploadBytesPerSecond: options.uploadBytesPerSecond ?? null });
      await stack.startStore();
      await stack.startServer();
    } catch (error) {
      await stack.stop();
      throw error;
    }
    return stack;
  }

  /** The page's address, without a slash at its end. */
  get url(): string {
    return `http://${this.serverProxy?.address ?? this.#serverAddresses[0]}`;
  }

  /** Where clients reach the store, without a slash at its end. */
  get publicStoreUrl(): string {
    return `http://${this.#options.pastStoreProxy ? this.#storeAddress : this.storeProxy.address}`;
  }

  /** How to read the store without going through anything that is tested. */
  get access(): StoreAccess {
    return {
      endpoint: `http://${this.#storeAddress}`,
      bucket: BUCKET,
      region: REGION,
      accessKey: ACCESS_KEY,
      secretKey: SECRET_KEY,
    };
  }

  async startStore(): Promise<void> {
    const env = {
      HOLDFAST_EMBEDDED_S3_ACCESS_KEY: ACCESS_KEY,
      HOLDFAST_EMBEDDED_S3_SECRET_KEY: SECRET_KEY,
    };
    const args = [
      '--listen',
      this.#storeAddress,
      '--data-dir',
      join(this.#folder, 'store'),
      '--bucket',
      BUCKET,
    ];
    const program = this.#options.sink ? 's3-sink' : 'embedded-s3';
    this.#store = await start(program, args, env, () => answers(`http://${this.#storeAddress}/`));
  }

  /** Starts every server that is not running. */
  async startServer(): Promise<void> {
    const missing = this.#serverAddresses.filter((address) => !this.#servers.has(address));
    await Promise.all(missing.map((address) => this.#startServer(address)));
  }

  async #startServer(address: string): Promise<void> {
    const env = {
      HOLDFAST_LISTEN: address,
      HOLDFAST_DATA_DIR: join(this.#folder, `server-${this.#serverAddresses.indexOf(address)}`),
      HOLDFAST_SESSION_STORE: this.#redis?.url ?? 'sqlite',
      ...(this.#redis ? { HOLDFAST_TOKEN_SECRET: 'token-secret-of-the-e2e-tests' } : {}),
      HOLDFAST_S3_BUCKET: BUCKET,
      HOLDFAST_S3_REGION: REGION,
      HOLDFAST_S3_ENDPOINT: `http://${this.#storeAddress}`,
      HOLDFAST_S3_PUBLIC_ENDPOINT: this.publicStoreUrl,
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      ...this.#options.serverEnv,
    };
    const running = await start('presign-server', [], env, () => answers(`http://${address}/health`));
    this.#servers.set(address, running);
  }

  async killStore(): Promise<void> {
    await this.#store?.kill();
  }

  /** Kills every server, or one of the replicas. */
  async killServer(replica?: number): Promise<void> {
    const addresses =
      replica === undefined ? this.#serverAddresses : this.#serverAddresses.slice(replica).slice(0, 1);
    for (const address of addresses) {
      await this.#servers.get(address)?.kill();
      this.#servers.delete(address);
    }
  }

  /** Redis is gone at once, as by a power cut; what it had answered is on its disk. */
  async killRedis(): Promise<void> {
    await this.#redis?.kill();
  }

  async startRedis(): Promise<void> {
    await this.#redis?.restart();
  }

  /** What server and store printed: the first thing to read when a test fails. */
  get output(): string {
    const servers = [...this.#servers.values()].map((server) => `server:\n${server.output()}`);
    return [...servers, `store:\n${this.#store?.output() ?? ''}`].join('\n');
  }

  async stop(): Promise<void> {
    await this.killServer();
    await this.#store?.kill();
    await this.#redis?.kill();
    await this.storeProxy.stop();
    await this.serverProxy?.stop();
  }

  /** Waits until the link to the store is idle: no PUT in flight for half a second. */
  async storeIsIdle(): Promise<void> {
    let idleSince = Date.now();
    let seen = 0;
    await poll(
      async () => {
        const puts = await this.storeProxy.puts();
        if (puts.length !== seen || puts.some((put) => put.endMs === null)) idleSince = Date.now();
        seen = puts.length;
        return Date.now() - idleSince > 500 ? true : undefined;
      },
      60_000,
      () => 'the link to the store is not idle',
    );
  }
}

/** Whether somebody answers there, whatever the answer. */
async function answers(url: string): Promise<true | undefined> {
  try {
    await fetch(url, { signal: AbortSignal.timeout(1_000) });
    return true;
  } catch {
    return undefined;
  }
}
