/** The demo page as a test reads and uses it. */
import { expect, type Locator, type Page } from '@playwright/test';
import type { PageRecord, UploadRecord } from './page-record.ts';

/** An upload's row as it stands. */
export interface RowState {
  readonly id: string;
  readonly name: string;
  readonly key: string | null;
  readonly status: string;
  readonly durability: string;
  readonly progress: number;
  readonly sentBytes: number;
  readonly resumed: boolean;
}

const COMPLETED_MS_MAX = 90_000;

export class UploadsPage {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Picks files by the page's file input. */
  async pick(...files: { readonly path: string }[]): Promise<void> {
    await this.page.getByTestId('file-input').setInputFiles(files.map((file) => file.path));
  }

  /** Picks files that exist only in memory, with names that no file system would take. */
  async pickMade(...files: { readonly name: string; readonly bytes: Buffer }[]): Promise<void> {
    await this.page
      .getByTestId('file-input')
      .setInputFiles(
        files.map(({ name, bytes }) => ({ name, mimeType: 'application/octet-stream', buffer: bytes })),
      );
  }

  /** The row of the upload of a file of this name. */
  row(name: string): Locator {
    return this.page.getByTestId('upload').filter({ has: this.page.getByTitle(name, { exact: true }) });
  }

  /** All rows by plain selectors, as a script of somebody else would read them. */
  rows(): Promise<RowState[]> {
    return this.page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('[data-testid="upload"]')].map((row) => ({
        id: row.dataset.uploadId ?? '',
        name: row.getAttribute('aria-label') ?? '',
        key: row.dataset.key ?? null,
        status: row.dataset.status ?? '',
        durability: row.dataset.durability ?? '',
        progress: Number(row.dataset.progress),
        sentBytes: Number(row.dataset.sentBytes),
        resumed: row.dataset.resumed === 'true',
      })),
    );
  }

  /** The state of the only upload of this name. */
  async state(name: string): Promise<RowState> {
    const [state, ...others] = (await this.rows()).filter((row) => row.name === name);
    if (!state || others.length > 0) throw new Error(`${others.length + (state ? 1 : 0)} uploads of ${name}`);
    return state;
  }

  async hasStatus(name: string, status: string, timeout = COMPLETED_MS_MAX): Promise<void> {
    await expect(this.row(name)).toHaveAttribute('data-status', status, { timeout });
  }

  /** Waits until so many uploads are listed as completed. */
  async allCompleted(count: number, timeout = COMPLETED_MS_MAX): Promise<void> {
    const completed = this.page.locator('[data-testid="upload"][data-status="completed"]');
    await expect(completed).toHaveCount(count, { timeout });
  }

  async hasDurability(name: string, durability: string, timeout = 30_000): Promise<void> {
    await expect(this.row(name)).toHaveAttribute('data-durability', durability, { timeout });
  }

  /** Waits until at least this share, 0 to 1, is sent. */
  async hasSent(name: string, share: number): Promise<void> {
    await expect
      .poll(async () => (await this.rows()).find((row) => row.name === name)?.progress ?? 0, {
        timeout: 60_000,
        intervals: [50],
      })
      .toBeGreaterThanOrEqual(share);
  }

  async engine(): Promise<{ readonly host: string | null; readonly instance: string | null }> {
    const engine = this.page.getByTestId('engine');
    await expect(engine).toHaveAttribute('data-engine-instance', /./);
    return {
      host: await engine.getAttribute('data-host'),
      instance: await engine.getAttribute('data-engine-instance'),
    };
  }

  record(): Promise<PageRecord> {
    return this.page.evaluate(() => window.holdfastRecord);
  }

  /** The states this page has shown of the upload. */
  async recordOf(name: string): Promise<UploadRecord> {
    const { id } = await this.state(name);
    const record = (await this.record()).uploads[id];
    if (!record) throw new Error(`the page has recorded nothing of ${name}`);
    return record;
  }
}
