/** A person's browser: one profile folder, which outlives the browser that is killed over it. */
import { mkdirSync } from 'node:fs';
import { type BrowserContext, chromium, type Page } from '@playwright/test';
import { CHROMIUM_FLAGS, chromiumPath } from './browsers.ts';
import { recordPage } from './page-record.ts';
import { findProcess, killTree, poll } from './processes.ts';
import { UploadsPage } from './uploads-page.ts';

export class Visitor {
  /** The profile's folder. */
  readonly profile: string;
  readonly #url: string;
  readonly #prepare: (context: BrowserContext) => Promise<unknown>;
  #context: BrowserContext | undefined;

  /** `prepare` runs on each new browser before it opens a page. */
  constructor(
    profile: string,
    url: string,
    prepare: (context: BrowserContext) => Promise<unknown> = async () => undefined,
  ) {
    this.profile = profile;
    this.#url = url;
    this.#prepare = prepare;
    mkdirSync(profile, { recursive: true });
  }

  /** Opens the uploads page, in the running browser or a new one on the same profile. */
  async open(path = '/'): Promise<UploadsPage> {
    const first = this.#context === undefined;
    this.#context ??= await this.#launch();
    const blank = first ? this.#context.pages()[0] : undefined;
    const page: Page = blank ?? (await this.#context.newPage());
    await page.goto(this.#url + path);
    return new UploadsPage(page);
  }

  /** The whole browser dies, as by a power cut. */
  async kill(): Promise<void> {
    const context = this.#context;
    const pid = findProcess(`--user-data-dir=${this.profile}`);
    if (!context || pid === undefined) throw new Error('no browser is running to be killed');
    const closed = new Promise((resolve) => context.once('close', resolve));
    killTree(pid);
    await closed;
    this.#context = undefined;
    await poll(
      () => (findProcess(this.profile) === undefined ? true : undefined),
      10_000,
      () => 'some process of the killed browser lives on',
    );
  }

  /** The browser is closed as a person does it. */
  async quit(): Promise<void> {
    await this.#context?.close();
    this.#context = undefined;
  }

  /** The pages that are open, for a picture of what went wrong. */
  get pages(): Page[] {
    return this.#context?.pages() ?? [];
  }

  async #launch(): Promise<BrowserContext> {
    const context = await chromium.launchPersistentContext(this.profile, {
      executablePath: chromiumPath(),
      args: [...CHROMIUM_FLAGS],
      viewport: { width: 1280, height: 900 },
    });
    await context.addInitScript(recordPage);
    await this.#prepare(context);
    return context;
  }
}
