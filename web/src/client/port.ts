/**
 * The boundary to the upload engine, which lives in a worker: what the page is told and what it may ask.
 * The wasm facade is one implementation (`wasm-host.ts`), the unit tests have another.
 */
import type { PageMessage } from '../generated/messages.ts';
import type { UploaderConfig } from './options.ts';

export type {
  DurabilityView as Durability,
  EngineView,
  ErrorView as UploadProblem,
  IntegrityView as Integrity,
  PageMessage,
  StatusView as UploadStatus,
  UploadView,
  WaitingForView as WaitingFor,
} from '../generated/messages.ts';

/** The engine as the page may use it. Ids are those of `UploadView.uploadId`. */
export interface HostPort {
  /** Hands over picked files; answers the ids of their uploads, in the same order. */
  add(files: File[], asNew: boolean): string[];
  provide(uploadId: string, file: File): void;
  /** Headers for every call to the server from now on, as pairs of name and value. */
  setHeaders(headers: [name: string, value: string][]): void;
  pause(uploadId: string): void;
  resume(uploadId: string): void;
  cancel(uploadId: string): void;
  dismiss(uploadId: string): void;
  /** What the engine has been told so far, as JSON; `null` when it does not answer. */
  report(): Promise<string | null>;
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
