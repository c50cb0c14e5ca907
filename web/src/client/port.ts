/**
 * The boundary to the upload engine, which lives in a worker: what the page is told and what it may ask.
 * The wasm facade is one implementation (`wasm-host.ts`), the unit tests have another.
 */
import type { EngineHost, UploaderConfig } from './options.ts';

/** `data-status`: where an upload stands. */
export type UploadStatus =
  | 'queued'
  | 'uploading'
  | 'paused'
  | 'waiting'
  | 'needs-file'
  | 'completing'
  | 'completed'
  | 'failed'
  | 'cancelled';

/** What closing the page would lose: all of it, some of it, nothing. */
export type Durability = 'memory' | 'partial' | 'safe';

/** What a waiting upload waits for. */
export type WaitingFor = 'network' | 'server' | 'store';

/** Why an upload failed, or why its last file was refused. */
export interface UploadProblem {
  /** Stable code, the server's own where the server refused. */
  readonly code: string;
  /** What happened, with names and numbers, for a person. */
  readonly detail: string;
}

/** One upload as the engine tells it. Sizes in bytes, exact up to 2^53. */
export interface UploadView {
  readonly uploadId: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly key?: string | null | undefined;
  readonly status: UploadStatus;
  readonly waitingFor?: WaitingFor | null | undefined;
  readonly error?: UploadProblem | null | undefined;
  readonly durability: Durability;
  readonly resumable: boolean;
  readonly resumed: boolean;
  readonly sentBytes: number;
  readonly confirmedBytes: number;
  readonly stagedBytes: number;
  readonly bytesPerSecond: number;
  readonly partCount: number;
  readonly partsInFlight: number;
  /** One letter for each cell of the strip: `p`ending, `s`taged, in `f`light, `c`onfirmed, `l`ost. */
  readonly cells: string;
}

/** The engine this page is connected to. */
export interface EngineView {
  /** Random id made when the engine started: the same id means the same engine. */
  readonly instance: string;
  readonly host: EngineHost;
}

/** What the engine tells the page. */
export type PageMessage =
  | {
      readonly type: 'snapshot';
      readonly engine: EngineView;
      /** The uploads that changed; all of them when `full`. New ones in order of adding. */
      readonly uploads: readonly UploadView[];
      readonly removed: readonly string[];
      readonly full?: boolean | undefined;
    }
  | {
      readonly type: 'event';
      readonly event: EngineEvent;
      readonly uploadId: string;
      readonly name?: string | null | undefined;
      readonly reason?: string | null | undefined;
      /** Of an offered file: the id that `add` gave to it, or the upload's own when it was provided. */
      readonly pickedAs?: string | null | undefined;
    }
  | { readonly type: 'engineBug'; readonly detail: string };

/** Something that happened to one upload. */
export type EngineEvent = 'safe' | 'completed' | 'failed' | 'fileRefused' | 'fileAccepted';

/** The engine as the page may use it. Ids are those of {@link UploadView.uploadId}. */
export interface HostPort {
  /** Hands over picked files; answers the ids of their uploads, in the same order. */
  add(files: File[], asNew: boolean): string[];
  provide(uploadId: string, file: File): void;
  pause(uploadId: string): void;
  resume(uploadId: string): void;
  cancel(uploadId: string): void;
  dismiss(uploadId: string): void;
  /** Leaves the engine; it goes on for other pages, and for the next one. */
  close(): void;
}

/**
 * Connects to the engine, starting it when this page is the first.
 *
 * Rejects when there can be no engine at all: the wasm module did not load, or there are no workers.
 */
export type ConnectHost = (
  config: UploaderConfig,
  onMessage: (message: PageMessage) => void,
) => Promise<HostPort>;
