/** A Redis of a test's own, which keeps on disk what it has answered. */
import { mkdirSync } from 'node:fs';
import { freePort, type Running, startProgram } from './processes.ts';

export class Redis {
  readonly #folder: string;
  readonly #port: number;
  #running: Running | undefined;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.#port = port;
  }

  static async start(folder: string): Promise<Redis> {
    mkdirSync(folder, { recursive: true });
    const redis = new Redis(folder, await freePort());
    await redis.restart();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  async kill(): Promise<void> {
    await this.#running?.kill();
  }

  async restart(): Promise<void> {
    const settings = {
      bind: '127.0.0.1',
      port: String(this.#port),
      dir: this.#folder,
      appendonly: 'yes',
      appendfsync: 'always',
      save: '',
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    this.#running = await startProgram('redis-server', args, {}, (output) =>
      output.includes('Ready to accept connections') ? true : undefined,
    );
  }
}
