/** The list of uploads: keeps one row for each and touches only the rows that changed. */
import type { Upload } from '../client/index.ts';
import { h } from './dom.ts';
import { FrameQueue } from './frames.ts';
import { Row } from './row.ts';

/** So many new rows are made at once, so that a single file's first states are seen; more take turns. */
const ROWS_AT_ONCE = 16;

export class UploadList {
  readonly element = h('ul', { class: 'hf-list', part: 'list', 'aria-label': 'Uploads' });
  readonly #rows = new Map<string, Row>();
  readonly #frames: FrameQueue<string>;
  #uploads = new Map<string, Upload>();
  #shown: readonly Upload[] = [];

  /** `afterFrame` runs after each frame that drew rows: the time to draw what sums them up. */
  constructor(afterFrame: () => void) {
    this.#frames = new FrameQueue((id) => this.#drawRow(id), afterFrame);
  }

  /** Shows these uploads. Attributes of existing rows are set at once, all else within the next frames. */
  show(uploads: readonly Upload[]): void {
    if (uploads === this.#shown) {
      this.#frames.wake();
      return;
    }
    this.#shown = uploads;
    this.#uploads = new Map(uploads.map((upload) => [upload.id, upload]));
    for (const id of this.#rows.keys()) {
      if (!this.#uploads.has(id)) this.#removeRow(id);
    }
    let made = 0;
    for (const upload of uploads) {
      const row = this.#rows.get(upload.id);
      if (row) {
        row.mark(upload);
        if (row.isStale(upload)) this.#frames.add(upload.id);
      } else if (made < ROWS_AT_ONCE) {
        made += 1;
        this.#drawRow(upload.id);
      } else {
        this.#frames.add(upload.id);
      }
    }
    this.#frames.wake();
  }

  stop(): void {
    this.#frames.stop();
  }

  #drawRow(id: string): void {
    const upload = this.#uploads.get(id);
    if (!upload) return;
    let row = this.#rows.get(id);
    if (!row) {
      row = new Row(upload);
      this.#rows.set(id, row);
      this.element.append(row.element);
    }
    row.draw(upload);
  }

  #removeRow(id: string): void {
    this.#frames.remove(id);
    const row = this.#rows.get(id);
    this.#rows.delete(id);
    if (!row) return;
    // The focus inside a row that goes moves to its neighbour rather than to the top of the page.
    if (row.element.contains(document.activeElement)) {
      const neighbour = row.element.nextElementSibling ?? row.element.previousElementSibling;
      neighbour?.querySelector<HTMLElement>('button:not([hidden])')?.focus();
    }
    row.element.remove();
  }
}
