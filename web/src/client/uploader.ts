/** The uploader without its engine: state, subscriptions, commands. `create-uploader.ts` adds the engine. */
import type { UploaderConfig } from './options.ts';
import type { ConnectHost, HostPort, PageMessage } from './port.ts';
import type { Upload, UploaderError, UploaderSnapshot } from './snapshot.ts';
import { applyRefusal, applySnapshotMessage, hasEnded, type Refusal, STARTING } from './snapshot.ts';

/** What happens to an upload, by event name. `upload` is its state at that moment. */
export interface UploaderEvents {
  /** From now on closing the page loses nothing of this upload. */
  safe: { readonly upload: Upload };
  /** The store has confirmed size and checksum. */
  completed: { readonly upload: Upload };
  /** The upload ended without success; `upload.error` says why. */
  failed: { readonly upload: Upload };
  /** The file offered to an upload is not the one it needs. Nothing of it was sent. */
  fileRefused: { readonly upload: Upload; readonly refusal: Refusal };
  /** An upload that needed its file has it again. */
  fileAccepted: { readonly upload: Upload };
}

/** Settings of one `add`. */
export interface AddOptions {
  /**
   * Start new uploads even when an earlier one still needs a file of the same name or size. Default
   * false: such a file is compared with the earlier upload and, when it is the same, continues it.
   */
  readonly asNew?: boolean;
}

/** Uploads of one endpoint and scope. Made by `createUploader`. */
export interface Uploader {
  /**
   * Starts uploading files. Resolves to their upload ids, in the same order, once the engine has them;
   * rejects when there is no engine.
   */
  add(files: Iterable<File>, options?: AddOptions): Promise<string[]>;
  /** Gives an upload that needs its file that file. It is compared before anything is sent. */
  provide(id: string, file: File): void;
  /** Uploads the file that was last refused for this upload as a new one. No-op when there is none. */
  uploadRefusedAsNew(id: string): void;
  /** Stops sending, one upload or all, until resumed. */
  pause(id?: string): void;
  /** Goes on after a pause, or tries a failed upload again: one, or every paused one. */
  resume(id?: string): void;
  /** Gives up one upload or all that have not ended; what the store holds of them is deleted. */
  cancel(id?: string): void;
  /** Drops an upload that has ended from the list. Nothing happens to one that has not. */
  dismiss(id: string): void;
  /**
   * What the engine has been told so far, as JSON: the report to send with a bug. It holds sizes,
   * checksums, times and parts of random ids, no file names, URLs, tokens or contents;
   * `cargo run -p upload-testkit --bin replay` tells an engine the same again, step by step. Rejects when there is no engine or it does not answer.
   */
  report(): Promise<string>;
  /** Calls back after every change of the snapshot. Answers the function that ends it. */
  subscribe(onChange: () => void): () => void;
  /** The current snapshot; the same object until something changes. */
  getSnapshot(): UploaderSnapshot;
  /** Calls back on one kind of event. Answers the function that ends it. */
  on<Name extends keyof UploaderEvents>(
    name: Name,
    callback: (event: UploaderEvents[Name]) => void,
  ): () => void;
  /** Leaves the engine and drops every subscription. Uploads go on as far as the engine's host lives. */
  close(): void;
}

/** Files handed over in one call. */
const FILES_A_CALL = 8;

/** Time in ms after which handing over goes on in a next task, so that the page stays quick. */
const TASK_BUDGET_MS = 8;

/** Offered files remembered at most: of those, only ones compared with an earlier upload can be refused. */
const OFFERED_MAX = 256;

/** An engine that has said nothing for this long is reported; starting takes well under a second. */
const SILENCE_MS_MAX = 15_000;

/** Opens an uploader on the engine that `connect` reaches. */
export function openUploader(config: UploaderConfig, connect: ConnectHost): Uploader {
  return new EngineUploader(config, connect);
}

type Listener = (event: never) => void;

class EngineUploader implements Uploader {
  #snapshot: UploaderSnapshot = STARTING;
  /** Resolves to `undefined` when there can be no engine; the snapshot then says why. */
  readonly #host: Promise<HostPort | undefined>;
  readonly #silence: ReturnType<typeof setTimeout>;
  readonly #subscribers = new Set<() => void>();
  readonly #listeners = new Map<keyof UploaderEvents, Set<Listener>>();
  /** Files that may yet be refused, by the id of their picking. */
  readonly #offered = new Map<string, File>();
  readonly #refused = new Map<string, { readonly refusal: Refusal; readonly file: File | undefined }>();

  readonly #headers: UploaderConfig['headers'];

  constructor(config: UploaderConfig, connect: ConnectHost) {
    this.#headers = config.headers;
    this.#silence = setTimeout(() => this.#onSilence(), SILENCE_MS_MAX);
    this.#host = connect(config, (message) => this.#onMessage(message)).catch((error: unknown) => {
      this.#break({
        code: 'engine_unavailable',
        detail: error instanceof Error ? error.message : String(error),
      });
      return undefined;
    });
    this.#giveHeaders();
  }

  async add(files: Iterable<File>, options: AddOptions = {}): Promise<string[]> {
    const picked = [...files];
    const asNew = options.asNew ?? false;
    const host = await this.#host;
    if (!host) throw new Error(this.#whyNoEngine());
    const ids: string[] = [];
    // Picking very many files has taken the browser its time already.
    let taskEnd = picked.length > FILES_A_CALL ? 0 : performance.now() + TASK_BUDGET_MS;
    for (let start = 0; start < picked.length; start += FILES_A_CALL) {
      if (performance.now() >= taskEnd) {
        await nextTask();
        taskEnd = performance.now() + TASK_BUDGET_MS;
      }
      if (this.#snapshot.state === 'closed') throw new Error(this.#whyNoEngine());
      const batch = picked.slice(start, start + FILES_A_CALL);
      const added = host.add(batch, asNew);
      ids.push(...added);
      // Which of them the engine compares with an earlier upload is not known here.
      if (!asNew) for (const [index, file] of batch.entries()) this.#offer(added[index], file);
    }
    return ids;
  }

  provide(id: string, file: File): void {
    this.#offer(id, file);
    this.#setRefusal(id, undefined);
    this.#tell((host) => host.provide(id, file));
  }

  uploadRefusedAsNew(id: string): void {
    const file = this.#refused.get(id)?.file;
    if (!file) return;
    this.#setRefusal(id, undefined);
    this.#tell((host) => host.add([file], true));
  }

  pause(id?: string): void {
    this.#tellEach(id, ['queued', 'uploading', 'waiting'], (host, each) => host.pause(each));
  }

  resume(id?: string): void {
    this.#tellEach(id, ['paused'], (host, each) => host.resume(each));
  }

  cancel(id?: string): void {
    this.#tellEach(
      id,
      ['queued', 'uploading', 'paused', 'waiting', 'needs-file', 'completing'],
      (host, each) => host.cancel(each),
    );
  }

  dismiss(id: string): void {
    this.#tell((host) => host.dismiss(id));
  }

  async report(): Promise<string> {
    const host = await this.#host;
    const report = host ? await host.report() : null;
    if (report === null) throw new Error(host ? 'the upload engine does not answer' : this.#whyNoEngine());
    return report;
  }

  subscribe(onChange: () => void): () => void {
    // Wrapped, so that one function subscribed twice is two subscriptions.
    const subscriber = () => onChange();
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  getSnapshot(): UploaderSnapshot {
    return this.#snapshot;
  }

  on<Name extends keyof UploaderEvents>(
    name: Name,
    callback: (event: UploaderEvents[Name]) => void,
  ): () => void {
    const listener: Listener = (event: UploaderEvents[Name]) => callback(event);
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  close(): void {
    if (this.#snapshot.state === 'closed') return;
    clearTimeout(this.#silence);
    this.#tell((host) => host.close());
    this.#replace(Object.freeze({ state: 'closed', uploads: this.#snapshot.uploads }));
    this.#subscribers.clear();
    this.#listeners.clear();
    this.#offered.clear();
    this.#refused.clear();
  }

  /**
   * Asks the page for headers and hands them on. When it has none, uploads wait for credentials and the
   * page's error is reported as uncaught.
   */
  #giveHeaders(): void {
    if (!this.#headers) return;
    // Asked while the engine is still loading: the first call finds them there.
    void Promise.all([this.#headers(), this.#host]).then(
      ([headers, host]) => {
        if (this.#snapshot.state !== 'closed') host?.setHeaders(headers);
      },
      (error: unknown) =>
        callOut(() => {
          throw error;
        }),
    );
  }

  /** Carries out a command once the engine is there; without one there is nothing to command. */
  #tell(command: (host: HostPort) => void): void {
    void this.#host.then((host) => host && command(host));
  }

  #tellEach(
    id: string | undefined,
    statuses: Upload['status'][],
    command: (host: HostPort, id: string) => void,
  ): void {
    if (id !== undefined) {
      this.#tell((host) => command(host, id));
      return;
    }
    this.#tell((host) => {
      for (const upload of this.#snapshot.uploads) {
        if (statuses.includes(upload.status)) command(host, upload.id);
      }
    });
  }

  #onMessage(message: PageMessage): void {
    if (this.#snapshot.state === 'closed') return;
    switch (message.type) {
      case 'snapshot': {
        clearTimeout(this.#silence);
        this.#replace(applySnapshotMessage(this.#snapshot, message, (id) => this.#refused.get(id)?.refusal));
        this.#forgetSettledRefusals();
        break;
      }
      case 'event':
        this.#onEvent(message);
        break;
      case 'headersWanted':
        this.#giveHeaders();
        break;
      case 'engineBug':
        clearTimeout(this.#silence);
        this.#break({
          code: 'engine_bug',
          detail: message.detail,
          ...(message.report === null ? {} : { report: message.report }),
        });
        break;
    }
  }

  #onEvent(message: Extract<PageMessage, { type: 'event' }>): void {
    const { event, uploadId } = message;
    if (event === 'fileRefused' || event === 'fileAccepted') {
      const pickedAs = message.pickedAs ?? uploadId;
      const file = this.#offered.get(pickedAs);
      this.#offered.delete(pickedAs);
      const refusal = {
        fileName: message.name ?? file?.name ?? '',
        reason: message.reason ?? '',
        canUploadAsNew: file !== undefined,
      };
      this.#setRefusal(uploadId, event === 'fileRefused' ? refusal : undefined, file);
    }
    const upload = this.#snapshot.uploads.find((each) => each.id === uploadId);
    if (!upload) return;
    if (event === 'fileRefused') {
      const refusal = this.#refused.get(uploadId)?.refusal;
      if (refusal) this.#emit('fileRefused', { upload, refusal });
    } else {
      this.#emit(event, { upload });
    }
  }

  #setRefusal(id: string, refusal: Refusal | undefined, file?: File): void {
    if (refusal) this.#refused.set(id, { refusal, file });
    else this.#refused.delete(id);
    this.#replace(applyRefusal(this.#snapshot, id, refusal));
  }

  /** Remembers a file until it is refused; of very many, the latest. */
  #offer(pickedAs: string | undefined, file: File): void {
    if (pickedAs === undefined) return;
    this.#offered.set(pickedAs, file);
    const oldest = this.#offered.keys().next();
    if (this.#offered.size > OFFERED_MAX && !oldest.done) this.#offered.delete(oldest.value);
  }

  #forgetSettledRefusals(): void {
    for (const id of this.#refused.keys()) {
      const upload = this.#snapshot.uploads.find((each) => each.id === id);
      if (!upload || hasEnded(upload)) this.#refused.delete(id);
    }
  }

  #onSilence(): void {
    const seconds = SILENCE_MS_MAX / 1000;
    this.#break({ code: 'engine_silent', detail: `the upload engine has not answered for ${seconds} s` });
  }

  #break(error: UploaderError): void {
    if (this.#snapshot.state === 'closed') return;
    this.#replace(
      Object.freeze({ state: 'broken', error: Object.freeze(error), uploads: this.#snapshot.uploads }),
    );
  }

  #whyNoEngine(): string {
    if (this.#snapshot.state === 'broken') return this.#snapshot.error.detail;
    return 'the uploader is closed';
  }

  #replace(next: UploaderSnapshot): void {
    if (next === this.#snapshot) return;
    this.#snapshot = next;
    for (const subscriber of [...this.#subscribers]) callOut(subscriber);
  }

  #emit<Name extends keyof UploaderEvents>(name: Name, event: UploaderEvents[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      callOut(() => (listener as (event: UploaderEvents[Name]) => void)(event));
    }
  }
}

/** A subscriber that throws must not cost the others their call: its error is reported as uncaught. */
function callOut(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
