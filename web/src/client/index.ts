/**
 * Uploads that survive the page: `createUploader()`, its snapshot and its events.
 *
 * @packageDocumentation
 */
export { createUploader } from './create-uploader.ts';
export { bytesOnlyInPage } from './leave-guard.ts';
export type { EngineHost, UploaderHeaders, UploaderOptions } from './options.ts';
export type { Durability, EngineView, UploadProblem, UploadStatus, WaitingFor } from './port.ts';
export type { Refusal, Upload, UploadBase, UploaderError, UploaderSnapshot } from './snapshot.ts';
export { hasEnded } from './snapshot.ts';
export type { AddOptions, Uploader, UploaderEvents } from './uploader.ts';
