/**
 * What a page sees of its uploads: one immutable value, replaced when something changes and the same
 * object for as long as nothing does. Unchanged uploads stay the same objects too, so `===` is a
 * complete test for "nothing to draw".
 */
import type {
  Durability,
  EngineView,
  Integrity,
  PageMessage,
  UploadProblem,
  UploadStatus,
  UploadView,
  WaitingFor,
} from './port.ts';

/** What every upload has. Sizes in bytes. */
export interface UploadBase {
  /** The upload's id, a UUID; the same over visits. */
  readonly id: string;
  /** The file's name as picked. */
  readonly name: string;
  readonly sizeBytes: number;
  /** The object's key, once the server has chosen it. */
  readonly key: string | undefined;
  /** What closing the page would lose. */
  readonly durability: Durability;
  /**
   * What the store checks, and what `completed` therefore means: size and checksum, or sizes alone where
   * it keeps no checksums. Unknown until the server has answered.
   */
  readonly integrity: Integrity | undefined;
  /** A later visit can go on with it. False where the browser gives no storage. */
  readonly resumable: boolean;
  /** It was continued from an earlier visit. */
  readonly resumed: boolean;
  /** Sent: confirmed bytes and those of parts in flight. */
  readonly sentBytes: number;
  /** Confirmed by the store. */
  readonly confirmedBytes: number;
  /** On this device's disk. */
  readonly stagedBytes: number;
  /** Over the last seconds; 0 while nothing is sent. */
  readonly bytesPerSecond: number;
  readonly partCount: number;
  readonly partsInFlight: number;
  /** `sentBytes` as a share of the whole, 0 to 1. An empty file is 1 once completed, else 0. */
  readonly progress: number;
  /** One letter for each cell: `p`ending, `s`taged, in `f`light, `c`onfirmed, `l`ost. */
  readonly cells: string;
}

/** A file that was offered to an upload and is not the one it needs. */
export interface Refusal {
  /** Name of the file that was refused. */
  readonly fileName: string;
  /** Why, in words for a person. */
  readonly reason: string;
  /** The page still has that file and can upload it as a new one. */
  readonly canUploadAsNew: boolean;
}

type SimpleStatus = Exclude<UploadStatus, 'waiting' | 'needs-file' | 'completed' | 'failed'>;

/** One upload, told apart by `status`. */
export type Upload =
  | (UploadBase & { readonly status: SimpleStatus })
  | (UploadBase & { readonly status: 'waiting'; readonly waitingFor: WaitingFor })
  | (UploadBase & { readonly status: 'needs-file'; readonly refusal: Refusal | undefined })
  | (UploadBase & { readonly status: 'completed'; readonly key: string })
  | (UploadBase & { readonly status: 'failed'; readonly error: UploadProblem });

/** Why there is no engine. */
export interface UploaderError {
  /**
   * `engine_unavailable`: it could not be started. `engine_silent`: it was started but does not answer;
   * the uploader goes on when it does. `engine_bug`: it stopped by a defect of its own.
   */
  readonly code: 'engine_unavailable' | 'engine_silent' | 'engine_bug';
  readonly detail: string;
  /** With `engine_bug`: what the engine had been told until then, see `Uploader.report`. */
  readonly report?: string;
}

/** The uploader and its uploads, told apart by `state`. */
export type UploaderSnapshot =
  | { readonly state: 'starting'; readonly uploads: readonly Upload[] }
  | { readonly state: 'running'; readonly engine: EngineView; readonly uploads: readonly Upload[] }
  | { readonly state: 'broken'; readonly error: UploaderError; readonly uploads: readonly Upload[] }
  | { readonly state: 'closed'; readonly uploads: readonly Upload[] };

/** The snapshot of an uploader that has heard nothing yet. */
export const STARTING: UploaderSnapshot = Object.freeze({ state: 'starting', uploads: Object.freeze([]) });

/** Whether nothing more will happen to the upload by itself or by the engine. */
export function hasEnded(upload: Upload): boolean {
  return upload.status === 'completed' || upload.status === 'failed' || upload.status === 'cancelled';
}

/** The next snapshot after a message with changed uploads. */
export function applySnapshotMessage(
  before: UploaderSnapshot,
  message: Extract<PageMessage, { type: 'snapshot' }>,
  refusalOf: (uploadId: string) => Refusal | undefined,
): UploaderSnapshot {
  const known = new Map(before.uploads.map((upload) => [upload.id, upload]));
  const next = message.full ? new Map<string, Upload>() : new Map(known);
  for (const id of message.removed) next.delete(id);
  for (const view of message.uploads) {
    next.set(view.uploadId, reuse(known.get(view.uploadId), toUpload(view, refusalOf(view.uploadId))));
  }
  const engine =
    before.state === 'running' && isSame(before.engine, message.engine)
      ? before.engine
      : Object.freeze({ ...message.engine });
  return replaceWhenChanged(before, { state: 'running', engine, uploads: [...next.values()] });
}

/** The next snapshot after a file was refused or accepted for an upload that needs one. */
export function applyRefusal(
  before: UploaderSnapshot,
  uploadId: string,
  refusal: Refusal | undefined,
): UploaderSnapshot {
  const uploads = before.uploads.map((upload) =>
    upload.id === uploadId && upload.status === 'needs-file' ? reuse(upload, { ...upload, refusal }) : upload,
  );
  return replaceWhenChanged(before, { ...before, uploads });
}

/** One upload of the engine as the page's own type. Absent details are filled with what is known. */
export function toUpload(view: UploadView, refusal: Refusal | undefined): Upload {
  const base: UploadBase = {
    id: view.uploadId,
    name: view.name,
    sizeBytes: view.sizeBytes,
    key: view.key ?? undefined,
    durability: view.durability,
    integrity: view.integrity ?? undefined,
    resumable: view.resumable,
    resumed: view.resumed,
    sentBytes: view.sentBytes,
    confirmedBytes: view.confirmedBytes,
    stagedBytes: view.stagedBytes,
    bytesPerSecond: view.bytesPerSecond,
    partCount: view.partCount,
    partsInFlight: view.partsInFlight,
    progress: progressOf(view),
    cells: view.cells,
  };
  switch (view.status) {
    case 'waiting':
      return { ...base, status: 'waiting', waitingFor: view.waitingFor ?? 'server' };
    case 'needs-file':
      return { ...base, status: 'needs-file', refusal: refusal ?? refusalOfEarlierPage(view) };
    case 'completed':
      return { ...base, status: 'completed', key: view.key ?? '' };
    case 'failed':
      return {
        ...base,
        status: 'failed',
        error: view.error ?? { code: 'internal', detail: 'the engine gave no reason' },
      };
    default:
      return { ...base, status: view.status };
  }
}

/** The engine remembers a refusal after the page that offered the file is gone, and its file with it. */
function refusalOfEarlierPage(view: UploadView): Refusal | undefined {
  if (view.error?.code !== 'file_refused') return undefined;
  return { fileName: '', reason: view.error.detail, canUploadAsNew: false };
}

function progressOf(view: UploadView): number {
  if (view.status === 'completed') return 1;
  if (view.sizeBytes <= 0) return 0;
  return Math.min(1, Math.max(0, view.sentBytes / view.sizeBytes));
}

function reuse(before: Upload | undefined, after: Upload): Upload {
  return before && isSame(before, after) ? before : Object.freeze(after);
}

function replaceWhenChanged(before: UploaderSnapshot, after: UploaderSnapshot): UploaderSnapshot {
  const sameUploads =
    before.uploads.length === after.uploads.length &&
    before.uploads.every((upload, index) => upload === after.uploads[index]);
  const uploads = sameUploads ? before.uploads : Object.freeze(after.uploads);
  const next = { ...after, uploads };
  return isSame(before, next) ? before : Object.freeze(next);
}

/** Field-by-field equality of plain values; the objects inside (errors, refusals) compare the same way. */
function isSame(a: object, b: object): boolean {
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const names = Object.keys(left);
  if (names.length !== Object.keys(right).length) return false;
  return names.every((name) => {
    const x = left[name];
    const y = right[name];
    if (x === y) return true;
    if (Array.isArray(x) || typeof x !== 'object' || typeof y !== 'object' || x === null || y === null)
      return false;
    return isSame(x, y);
  });
}
