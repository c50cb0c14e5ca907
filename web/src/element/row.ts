/** One upload as a list item. `mark` is cheap and done at once; `draw` is done once a frame. */
import { hasEnded, type Upload } from '../client/index.ts';
import { h, type IconName, icon, setAttribute, setText } from './dom.ts';
import { formatPercent } from './format.ts';
import { NeedsFilePanel } from './needs-file-panel.ts';
import { stripGradient } from './strip.ts';
import { detailLine, durabilityChip } from './wording.ts';

/** What a row's buttons ask for; the value of `data-action`. */
export type RowAction = 'pause' | 'resume' | 'cancel' | 'dismiss' | 'upload-as-new';

export class Row {
  readonly element: HTMLLIElement;
  readonly #parts: RowParts;
  #marked: Upload | undefined;
  #drawn: Upload | undefined;
  #needsFile: NeedsFilePanel | undefined;

  constructor(upload: Upload) {
    this.element = prototype().cloneNode(true) as HTMLLIElement;
    this.#parts = partsOf(this.element);
    this.element.dataset.uploadId = upload.id;
    this.element.setAttribute('aria-label', upload.name);
    setText(this.#parts.name, upload.name);
    this.#parts.name.title = upload.name;
    this.#parts.strip.setAttribute('aria-label', `Progress of ${upload.name}`);
    this.mark(upload);
  }

  /** Brings the row's `data-` attributes up to date: what scripts and styles go by. */
  mark(upload: Upload): void {
    if (upload === this.#marked) return;
    this.#marked = upload;
    const { element } = this;
    setAttribute(element, 'data-status', upload.status);
    setAttribute(element, 'data-durability', upload.durability);
    setAttribute(element, 'data-key', upload.key);
    setAttribute(element, 'data-progress', String(upload.progress));
    setAttribute(element, 'data-sent-bytes', String(upload.sentBytes));
    setAttribute(element, 'data-resumed', upload.resumed ? 'true' : undefined);
  }

  /** Whether `draw` would change anything. */
  isStale(upload: Upload): boolean {
    return upload !== this.#drawn;
  }

  /** Brings everything to be seen and heard up to date. */
  draw(upload: Upload): void {
    if (upload === this.#drawn) return;
    const before = this.#drawn;
    this.#drawn = upload;
    this.mark(upload);
    setText(this.#parts.detail, detailLine(upload));
    this.#drawStrip(upload);
    if (before?.status === upload.status && before.durability === upload.durability && isPlain(upload))
      return;
    setText(this.#parts.chip, durabilityChip(upload));
    setText(this.#parts.note, noteOf(upload));
    this.#drawButtons(upload);
    this.#drawNeedsFile(upload);
  }

  #drawStrip(upload: Upload): void {
    const { strip } = this.#parts;
    const percent = formatPercent(upload.progress);
    const cells = STRIP_OF_ENDED[upload.status] ?? upload.cells;
    strip.style.backgroundImage = stripGradient(cells, upload.status === 'cancelled' ? 0 : upload.progress);
    strip.style.setProperty('--hf-cell-count', String(Math.max(1, cells.length)));
    setAttribute(strip, 'aria-valuenow', percent.replace(' %', ''));
    setAttribute(strip, 'aria-valuetext', percent);
    setText(this.#parts.percent, hasEnded(upload) && upload.status !== 'completed' ? '' : percent);
  }

  #drawButtons(upload: Upload): void {
    const { pause, resume, cancel, dismiss } = this.#parts;
    const { status } = upload;
    const focused = document.activeElement;
    const ended = hasEnded(upload);
    pause.hidden = !(status === 'queued' || status === 'uploading' || status === 'waiting');
    resume.hidden = !(status === 'paused' || status === 'failed');
    cancel.hidden = ended;
    dismiss.hidden = !ended;
    label(resume, status === 'failed' ? 'Try again' : 'Resume', upload.name);
    label(pause, 'Pause', upload.name);
    label(cancel, 'Cancel', upload.name);
    label(dismiss, 'Remove from the list:', upload.name);
    const buttons = [pause, resume, cancel, dismiss];
    // The button just pressed may be gone: whoever uses the keyboard goes on at the next one.
    if (focused instanceof HTMLButtonElement && focused.hidden && buttons.includes(focused)) {
      buttons.find((button) => !button.hidden)?.focus();
    }
  }

  #drawNeedsFile(upload: Upload): void {
    if (upload.status === 'needs-file') {
      if (!this.#needsFile) {
        this.#needsFile = new NeedsFilePanel();
        this.element.append(this.#needsFile.element);
      }
      this.#needsFile.draw(upload);
    } else if (this.#needsFile) {
      this.#needsFile.element.remove();
      this.#needsFile = undefined;
    }
  }
}

/** An upload that is whole needs no parts any more, and one that was given up has none left. */
const STRIP_OF_ENDED: Readonly<Partial<Record<Upload['status'], string>>> = { completed: 'c', cancelled: '' };

interface RowParts {
  readonly name: HTMLElement;
  readonly chip: HTMLElement;
  readonly detail: HTMLElement;
  readonly percent: HTMLElement;
  readonly strip: HTMLElement;
  readonly note: HTMLElement;
  readonly pause: HTMLButtonElement;
  readonly resume: HTMLButtonElement;
  readonly cancel: HTMLButtonElement;
  readonly dismiss: HTMLButtonElement;
}

/** Statuses whose notes and buttons follow from status and durability alone. */
function isPlain(upload: Upload): boolean {
  return upload.status !== 'needs-file' && upload.status !== 'failed' && upload.status !== 'completed';
}

/** The line under the strip: what an upload ended with. */
function noteOf(upload: Upload): string {
  if (upload.status === 'failed') return `${upload.error.detail} (${upload.error.code})`;
  if (upload.status === 'completed') return upload.key;
  return '';
}

function label(button: HTMLButtonElement, action: string, name: string): void {
  setAttribute(button, 'aria-label', `${action} ${name}`);
  setAttribute(button, 'title', action.replace(':', ''));
}

let builtPrototype: HTMLLIElement | undefined;

/** Built once and cloned: a thousand rows are a thousand clones. */
function prototype(): HTMLLIElement {
  builtPrototype ??= h(
    'li',
    { class: 'hf-row', part: 'row', 'data-testid': 'upload' },
    h(
      'div',
      { class: 'hf-head' },
      h('span', { class: 'hf-badge', part: 'badge' }, icon('page'), icon('check'), icon('alert')),
      h(
        'div',
        { class: 'hf-title' },
        h('span', { class: 'hf-name', part: 'name' }),
        h('span', { class: 'hf-detail', part: 'detail' }),
      ),
      h('span', { class: 'hf-chip', part: 'chip' }),
      h('span', { class: 'hf-percent', part: 'percent', 'aria-hidden': 'true' }),
      h(
        'div',
        { class: 'hf-buttons', part: 'buttons' },
        button('pause', 'pause'),
        button('resume', 'resume', 'retry'),
        button('cancel', 'cancel'),
        button('dismiss', 'cancel'),
      ),
    ),
    h('div', {
      class: 'hf-strip',
      part: 'strip',
      role: 'progressbar',
      'aria-valuemin': '0',
      'aria-valuemax': '100',
    }),
    h('p', { class: 'hf-note', part: 'note' }),
  );
  return builtPrototype;
}

function button(action: RowAction, ...icons: IconName[]): HTMLButtonElement {
  return h(
    'button',
    {
      type: 'button',
      class: 'hf-icon-button',
      part: `button ${action}`,
      'data-testid': action,
      'data-action': action,
    },
    ...icons.map(icon),
  );
}

function partsOf(row: HTMLElement): RowParts {
  const find = <Found extends HTMLElement>(selector: string): Found => {
    const found = row.querySelector<Found>(selector);
    if (!found) throw new Error(`a row has no ${selector}`);
    return found;
  };
  return {
    name: find('.hf-name'),
    chip: find('.hf-chip'),
    detail: find('.hf-detail'),
    percent: find('.hf-percent'),
    strip: find('.hf-strip'),
    note: find('.hf-note'),
    pause: find('[data-action="pause"]'),
    resume: find('[data-action="resume"]'),
    cancel: find('[data-action="cancel"]'),
    dismiss: find('[data-action="dismiss"]'),
  };
}
