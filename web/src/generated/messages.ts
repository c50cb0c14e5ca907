// Generated from uploader-wasm/src/view.rs. Do not edit: `HOLDFAST_GENERATE=1 cargo test -p uploader-wasm generated`.

/**
 * What the engine tells a page.
 */
export type PageMessage = { "type": "snapshot", 
/**
 * The engine that speaks.
 */
engine: EngineView, 
/**
 * The uploads that changed, in order of adding; all of them when `full`.
 */
uploads: Array<UploadView>, 
/**
 * Ids of uploads that are no longer listed.
 */
removed: Array<string>, 
/**
 * Whatever is not in `uploads` does not exist: the first message of an engine.
 */
full: boolean, } | { "type": "event", 
/**
 * What happened.
 */
event: EventName, 
/**
 * To which upload.
 */
uploadId: string, 
/**
 * With `fileRefused`: the refused file's name.
 */
name: string | null, 
/**
 * With `fileRefused`: why, in words for a person.
 */
reason: string | null, 
/**
 * With `fileRefused` and `fileAccepted`: the id that `add` gave to the file.
 */
pickedAs: string | null, } | { "type": "headersWanted" } | { "type": "engineBug", 
/**
 * The panic's message and place.
 */
detail: string, 
/**
 * What the engine had been told until then, as JSON: see `report()`.
 */
report: string | null, };

/**
 * The engine a page is connected to.
 */
export type EngineView = { 
/**
 * Random id made when the engine started: the same id means the same engine.
 */
instance: string, 
/**
 * Where it runs.
 */
host: HostKind, };

/**
 * The kind of worker an engine runs in.
 */
export type HostKind = "shared-worker" | "dedicated-worker";

/**
 * What happened to an upload.
 */
export type EventName = "safe" | "completed" | "failed" | "fileRefused" | "fileAccepted";

/**
 * One upload. Sizes in bytes, exact up to 2^53.
 */
export type UploadView = { 
/**
 * A UUID.
 */
uploadId: string, 
/**
 * The file's name as picked.
 */
name: string, 
/**
 * The file's size.
 */
sizeBytes: number, 
/**
 * The object's key, once the server has chosen it.
 */
key: string | null, 
/**
 * Where it stands.
 */
status: StatusView, 
/**
 * With `waiting`: for what.
 */
waitingFor: WaitingForView | null, 
/**
 * With `failed`: why. With `needs-file`: why the last file was refused, if one was.
 */
error: ErrorView | null, 
/**
 * What closing the page would lose.
 */
durability: DurabilityView, 
/**
 * What the store checks; `null` until the server has answered.
 */
integrity: IntegrityView | null, 
/**
 * A later visit can go on with it.
 */
resumable: boolean, 
/**
 * It was continued from an earlier visit.
 */
resumed: boolean, 
/**
 * Sent: confirmed bytes and those of parts in flight.
 */
sentBytes: number, 
/**
 * Confirmed by the store.
 */
confirmedBytes: number, 
/**
 * On this device's disk.
 */
stagedBytes: number, 
/**
 * Over the last seconds.
 */
bytesPerSecond: number, 
/**
 * Parts of the file.
 */
partCount: number, 
/**
 * Parts in flight now.
 */
partsInFlight: number, 
/**
 * One letter for each cell of the strip: `p`ending, `s`taged, in `f`light, `c`onfirmed, `l`ost.
 */
cells: string, };

/**
 * Where an upload stands.
 */
export type StatusView = "queued" | "uploading" | "paused" | "waiting" | "needs-file" | "completing" | "completed" | "failed" | "cancelled";

/**
 * What closing the page would lose: all, some, nothing.
 */
export type DurabilityView = "memory" | "partial" | "safe";

/**
 * What the store checks of the bytes it gets.
 */
export type IntegrityView = "checksum" | "size-only";

/**
 * What a waiting upload waits for.
 */
export type WaitingForView = "network" | "server" | "store" | "credentials";

/**
 * Why an upload failed, or why its last file was refused.
 */
export type ErrorView = { 
/**
 * Stable code, the server's own where the server refused.
 */
code: string, 
/**
 * What happened, with names and numbers, for a person.
 */
detail: string, };
