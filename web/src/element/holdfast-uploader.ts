import { createUploader, type EngineHost, hasEnded, type Upload, type Uploader } from '../client/index.ts';
import { Announcer } from './announcer.ts';
import { h, icon, setAttribute, setText } from './dom.ts';
import { droppedFiles } from './dropped-files.ts';
import type { RowAction } from './row.ts';
import css from './styles.css?inline';
import { UploadList } from './upload-list.ts';
import { closingLine, summarize, totalsLine, unreadableLine } from './wording.ts';

/**
 * `<holdfast-uploader>`: a drop zone and the list of uploads, those of earlier visits included.
 *
 * Attributes, read when it is connected: `endpoint`, `scope` and `host` as in `UploaderOptions`;
 * `compact` leaves out the drop zone and folds the rows. Or set the property `uploader` to share one.
 *
 * It renders into itself, not into a shadow root, so that scripts and tests find its rows by plain
 * selectors. Its style sheet has next to no specificity: style parts as
 * `holdfast-uploader [part~="row"] {…}` and colours by the custom properties `--holdfast-*`.
 *
 * Disconnecting: an uploader of its own is closed unless the element is connected again in the same
 * task (a move in the document); a shared one is only left.
 */
export class HoldfastUploader extends HTMLElement {
  static readonly observedAttributes = ['compact'];

  readonly #list = new UploadList(() => this.#drawSummary());
  readonly #announcer = new Announcer();
  readonly #view = buildView();
  /** What could not be read of the last files that were handed over. */
  #unreadable: readonly string[] = [];
  #shared: Uploader | undefined;
  #current: { readonly uploader: Uploader; readonly leave: () => void } | undefined;

  /** The uploader that is shown. Setting one shares it; the element then never closes it. */
  get uploader(): Uploader | undefined {
    return this.#current?.uploader ?? this.#shared;
  }

  set uploader(uploader: Uploader | undefined) {
    this.#shared = uploader;
    if (!this.isConnected) return;
    this.#leave();
    this.#join();
  }

  connectedCallback(): void {
    adoptStyles(this.ownerDocument);
    if (!this.#view.root.isConnected) {
      this.#view.root.append(this.#list.element, this.#view.footer, this.#announcer.element);
      this.replaceChildren(this.#view.root);
      this.#listen();
    }
    this.#drawCompact();
    if (!this.#current) this.#join();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (!this.isConnected) this.#leave();
    });
  }

  attributeChangedCallback(): void {
    this.#drawCompact();
  }

  #join(): void {
    let uploader = this.#shared;
    try {
      uploader ??= this.#createOwn();
    } catch (error) {
      this.#showProblem(error instanceof Error ? error.message : String(error));
      return;
    }
    const ends = [uploader.subscribe(() => this.#onChange()), this.#announcer.follow(uploader)];
    const owned = uploader !== this.#shared;
    this.#current = {
      uploader,
      leave: () => {
        for (const end of ends) end();
        if (owned) uploader.close();
      },
    };
    this.#onChange();
  }

  #leave(): void {
    this.#current?.leave();
    this.#current = undefined;
    this.#list.stop();
  }

  #createOwn(): Uploader {
    const endpoint = this.getAttribute('endpoint');
    const scope = this.getAttribute('scope');
    const host = this.getAttribute('host');
    return createUploader({
      ...(endpoint === null ? {} : { endpoint }),
      ...(scope === null ? {} : { scope }),
      ...(host === null ? {} : { host: host as EngineHost }),
    });
  }

  #onChange(): void {
    const snapshot = this.#current?.uploader.getSnapshot();
    if (!snapshot) return;
    if (snapshot.state === 'running') {
      setAttribute(this.#view.engine, 'data-host', snapshot.engine.host);
      setAttribute(this.#view.engine, 'data-engine-instance', snapshot.engine.instance);
    }
    this.#list.show(snapshot.uploads);
  }

  #drawSummary(): void {
    const snapshot = this.#current?.uploader.getSnapshot();
    if (!snapshot) return;
    const { uploads } = snapshot;
    const view = this.#view;
    const sum = summarize(uploads);
    const line = closingLine(sum);
    setText(view.closingText, line.text);
    setAttribute(view.closing, 'data-level', line.level);
    setText(view.totals, totalsLine(sum));
    view.pauseAll.hidden = sum.running < 2 || sum.paused === sum.running;
    view.resumeAll.hidden = sum.running < 2 || sum.paused === 0;
    view.clear.hidden = sum.ended < 2;
    setAttribute(view.root, 'data-empty', uploads.length === 0 ? '' : undefined);
    if (snapshot.state === 'running') {
      const where = snapshot.engine.host === 'shared-worker' ? 'shared by all tabs' : 'in this tab';
      setText(view.engine, `Engine ${snapshot.engine.instance.slice(0, 8)} · ${where}`);
    }
    this.#showProblem(
      snapshot.state === 'broken' ? PROBLEMS[snapshot.error.code] : unreadableLine(this.#unreadable),
      snapshot,
    );
  }

  #showProblem(text: string, snapshot?: ReturnType<Uploader['getSnapshot']>): void {
    const { problem, problemText, problemDetail } = this.#view;
    problem.hidden = text === '';
    setText(problemText, text);
    setText(problemDetail, snapshot?.state === 'broken' ? snapshot.error.detail : '');
  }

  #drawCompact(): void {
    const compact = this.hasAttribute('compact');
    setAttribute(this.#view.root, 'data-compact', compact ? '' : undefined);
    this.#view.drop.hidden = compact;
  }

  #listen(): void {
    const { root, drop } = this.#view;
    root.addEventListener('change', (event) => this.#onFilesChosen(event.target));
    root.addEventListener('click', (event) => this.#onClick(event.target));
    let depth = 0;
    const setOver = (over: boolean) => setAttribute(drop, 'data-over', over ? '' : undefined);
    root.addEventListener('dragenter', (event) => {
      if (!hasFiles(event)) return;
      depth += 1;
      setOver(true);
    });
    root.addEventListener('dragleave', () => {
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    });
    root.addEventListener('dragover', (event) => {
      if (hasFiles(event)) event.preventDefault();
    });
    root.addEventListener('drop', (event) => {
      depth = 0;
      setOver(false);
      if (!event.dataTransfer || !hasFiles(event)) return;
      event.preventDefault();
      void droppedFiles(event.dataTransfer).then(({ files, unreadable }) => this.#add(files, unreadable));
    });
  }

  #onFilesChosen(target: EventTarget | null): void {
    if (!(target instanceof HTMLInputElement) || target.type !== 'file') return;
    const files = [...(target.files ?? [])];
    // Emptied, so that choosing the same file again is a change too.
    target.value = '';
    const [first] = files;
    if (!first) return;
    if (!('choose' in target.dataset)) {
      this.#add(files);
      return;
    }
    const id = uploadIdOf(target);
    if (id) this.#current?.uploader.provide(id, first);
  }

  #add(files: readonly File[], unreadable: readonly string[] = []): void {
    this.#unreadable = unreadable;
    this.#drawSummary();
    if (files.length === 0) return;
    // A rejection means that there is no engine; the snapshot says so and why.
    this.#current?.uploader.add(files).catch(() => this.#drawSummary());
  }

  #onClick(target: EventTarget | null): void {
    const button = target instanceof Element ? target.closest<HTMLElement>('button[data-action]') : null;
    const uploader = this.#current?.uploader;
    if (!button || !uploader) return;
    const id = uploadIdOf(button);
    if (id) ROW_ACTIONS[button.dataset.action as RowAction]?.(uploader, id);
    else LIST_ACTIONS[button.dataset.action as ListAction]?.(uploader);
  }
}

const ROW_ACTIONS: Readonly<Record<RowAction, (uploader: Uploader, id: string) => void>> = {
  pause: (uploader, id) => uploader.pause(id),
  resume: (uploader, id) => uploader.resume(id),
  cancel: (uploader, id) => uploader.cancel(id),
  dismiss: (uploader, id) => uploader.dismiss(id),
  'upload-as-new': (uploader, id) => uploader.uploadRefusedAsNew(id),
};

type ListAction = 'pause-all' | 'resume-all' | 'clear';

const LIST_ACTIONS: Readonly<Record<ListAction, (uploader: Uploader) => void>> = {
  'pause-all': (uploader) => uploader.pause(),
  'resume-all': (uploader) => uploader.resume(),
  clear: (uploader) => {
    const ended: readonly Upload[] = uploader.getSnapshot().uploads.filter(hasEnded);
    for (const upload of ended) uploader.dismiss(upload.id);
  },
};

const PROBLEMS = {
  engine_unavailable: 'Uploading does not work in this browser right now.',
  engine_silent: 'The upload engine does not answer. Reloading the page may help.',
  engine_bug:
    'The upload engine stopped by a defect of its own. Reload the page: uploads go on from where they were.',
} as const;

interface View {
  readonly root: HTMLElement;
  readonly drop: HTMLElement;
  readonly closing: HTMLElement;
  readonly closingText: HTMLElement;
  readonly totals: HTMLElement;
  readonly pauseAll: HTMLButtonElement;
  readonly resumeAll: HTMLButtonElement;
  readonly clear: HTMLButtonElement;
  readonly problem: HTMLElement;
  readonly problemText: HTMLElement;
  readonly problemDetail: HTMLElement;
  readonly engine: HTMLElement;
  readonly footer: HTMLElement;
}

function buildView(): View {
  const drop = h(
    'label',
    { class: 'hf-drop', part: 'drop' },
    icon('upload'),
    h('span', { class: 'hf-drop-text' }, h('strong', {}, 'Choose files'), ' or drop files and folders here'),
    h('input', { type: 'file', multiple: '', class: 'hf-hidden-input', 'data-testid': 'file-input' }),
  );
  const closingText = h('span');
  const closing = h(
    'p',
    { class: 'hf-closing', part: 'closing', 'data-testid': 'closing', 'data-level': 'idle' },
    icon('page'),
    icon('shield'),
    closingText,
  );
  const totals = h('p', { class: 'hf-totals', part: 'totals' });
  const pauseAll = listButton('pause-all', 'Pause all');
  const resumeAll = listButton('resume-all', 'Resume all');
  const clear = listButton('clear', 'Clear finished');
  const summary = h(
    'div',
    { class: 'hf-summary', part: 'summary' },
    h('div', { class: 'hf-summary-text' }, closing, totals),
    h('div', { class: 'hf-summary-buttons' }, pauseAll, resumeAll, clear),
  );
  const problemText = h('strong');
  const problemDetail = h('span');
  const problem = h(
    'div',
    { class: 'hf-problem', part: 'problem', role: 'alert', 'data-testid': 'problem' },
    icon('alert'),
    h('p', {}, problemText, ' ', problemDetail),
  );
  problem.hidden = true;
  const engine = h('p', { class: 'hf-engine', part: 'engine', 'data-testid': 'engine' });
  const footer = h('div', { class: 'hf-footer', part: 'footer' }, legend(), engine);
  const root = h('div', { class: 'hf-root', part: 'root', 'data-empty': '' }, problem, drop, summary);
  return {
    root,
    drop,
    closing,
    closingText,
    totals,
    pauseAll,
    resumeAll,
    clear,
    problem,
    problemText,
    problemDetail,
    engine,
    footer,
  };
}

/** What the colours of the strips mean; the same is said in words beside each strip. */
function legend(): HTMLElement {
  const cells = { c: 'At the store', f: 'On its way', s: 'On this device', p: 'Only in this page' };
  return h(
    'div',
    { class: 'hf-legend', part: 'legend', 'aria-hidden': 'true' },
    ...Object.entries(cells).map(([cell, text]) => h('span', { 'data-cell': cell }, text)),
  );
}

function listButton(action: ListAction, text: string): HTMLButtonElement {
  const button = h(
    'button',
    { type: 'button', class: 'hf-button hf-quiet', part: `button ${action}`, 'data-action': action },
    text,
  );
  button.hidden = true;
  return button;
}

function uploadIdOf(element: Element): string | undefined {
  return element.closest<HTMLElement>('[data-upload-id]')?.dataset.uploadId;
}

function hasFiles(event: DragEvent): boolean {
  return event.dataTransfer?.types.includes('Files') ?? false;
}

let sheet: CSSStyleSheet | undefined;

/** Adds the element's style sheet to the document, once. */
function adoptStyles(document: Document): void {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(css);
  }
  if (!document.adoptedStyleSheets.includes(sheet)) document.adoptedStyleSheets.push(sheet);
}
