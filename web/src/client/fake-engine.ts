/** An engine for unit tests: remembers what it was told, says what the test wants. */
import type { ConnectHost, HostPort, PageMessage, UploadView } from './port.ts';

type EventMessage = Extract<PageMessage, { type: 'event' }>;

export class FakeEngine implements HostPort {
  readonly told: (readonly [command: string, ...details: unknown[]])[] = [];
  onMessage: (message: PageMessage) => void = () => {};
  #lastId = 0;

  /** To be given to `openUploader`. */
  readonly connect: ConnectHost = async (_config, onMessage) => {
    this.onMessage = onMessage;
    return this;
  };

  /** Tells the page of uploads, as the engine does after a change. */
  show(uploads: UploadView[], more: { removed?: string[]; full?: boolean; instance?: string } = {}): void {
    this.onMessage({
      type: 'snapshot',
      engine: { instance: more.instance ?? 'engine-1', host: 'shared-worker' },
      uploads,
      removed: more.removed ?? [],
      full: more.full ?? false,
    });
  }

  /** Tells the page of an event. */
  happen(
    event: EventMessage['event'],
    uploadId: string,
    more: Partial<Pick<EventMessage, 'name' | 'reason' | 'pickedAs'>> = {},
  ): void {
    this.onMessage({ type: 'event', event, uploadId, name: null, reason: null, pickedAs: null, ...more });
  }

  add(files: File[], asNew: boolean): string[] {
    this.told.push(['add', files.map((file) => file.name), asNew]);
    return files.map(() => {
      this.#lastId += 1;
      return `picked-${this.#lastId}`;
    });
  }

  provide(uploadId: string, file: File): void {
    this.told.push(['provide', uploadId, file.name]);
  }

  setHeaders(headers: [string, string][]): void {
    this.told.push(['setHeaders', headers]);
  }

  /** Asks the page for other headers, as the engine does when the server refuses those it has. */
  wantHeaders(): void {
    this.onMessage({ type: 'headersWanted' });
  }

  pause(uploadId: string): void {
    this.told.push(['pause', uploadId]);
  }

  resume(uploadId: string): void {
    this.told.push(['resume', uploadId]);
  }

  cancel(uploadId: string): void {
    this.told.push(['cancel', uploadId]);
  }

  dismiss(uploadId: string): void {
    this.told.push(['dismiss', uploadId]);
  }

  async report(): Promise<string | null> {
    this.told.push(['report']);
    return '{"format":"holdfast-report/1"}';
  }

  close(): void {
    this.told.push(['close']);
  }
}

/** An upload half-way, with whatever the test wants different. */
export function view(changes: Partial<UploadView> = {}): UploadView {
  return {
    uploadId: 'a',
    name: 'report.pdf',
    sizeBytes: 1000,
    key: null,
    status: 'uploading',
    waitingFor: null,
    error: null,
    durability: 'partial',
    integrity: 'checksum',
    resumable: true,
    resumed: false,
    sentBytes: 500,
    confirmedBytes: 400,
    stagedBytes: 100,
    bytesPerSecond: 50,
    partCount: 10,
    partsInFlight: 1,
    cells: 'ccccfspppp',
    ...changes,
  };
}
