/** The browser's "leave this page?" prompt: only while leaving would lose bytes, and never else. */
import type { Upload, UploaderSnapshot } from './snapshot.ts';
import { hasEnded } from './snapshot.ts';

/** The part of a window that the guard needs. */
export interface GuardedWindow {
  addEventListener(type: 'beforeunload', listener: (event: BeforeUnloadEvent) => void): void;
  removeEventListener(type: 'beforeunload', listener: (event: BeforeUnloadEvent) => void): void;
  readonly location: { readonly origin: string };
  /** The Navigation API, where the browser has it. */
  readonly navigation?: EventTarget | undefined;
}

/** Bytes that exist nowhere but in the page's picked file: neither on disk nor at the store. */
export function bytesOnlyInPage(upload: Upload): number {
  if (hasEnded(upload) || upload.status === 'needs-file' || upload.durability === 'safe') return 0;
  const kept = upload.confirmedBytes + upload.stagedBytes;
  // Staged bytes may be confirmed as well, so the difference can be too low; while the engine does not
  // say safe, something is missing.
  return Math.max(upload.sizeBytes - kept, Math.min(1, upload.sizeBytes));
}

/**
 * Prompts while an upload has bytes that leaving loses. The listener exists only for that long, since
 * a page with one is kept out of the back-forward cache.
 *
 * A move within the origin asks nothing when `outlivesPage`: the same shared worker goes on behind the
 * next page. Answers the function to call with every snapshot; `undefined` ends the guard.
 */
export function guardLeaving(
  window: GuardedWindow,
  outlivesPage: boolean,
): (snapshot: UploaderSnapshot | undefined) => void {
  let armed = false;
  let sharedHost = false;
  let movesWithinOrigin = false;

  const onNavigate = (event: Event) => {
    const url = (event as Event & { destination?: { url?: string } }).destination?.url;
    movesWithinOrigin = url !== undefined && originOf(url) === window.location.origin;
    // The unload belongs to the same task or comes soon; a navigation that was stopped must not count later.
    setTimeout(() => {
      movesWithinOrigin = false;
    }, 1_000);
  };
  const onBeforeUnload = (event: BeforeUnloadEvent) => {
    if (sharedHost && outlivesPage && movesWithinOrigin) return;
    event.preventDefault();
  };
  const arm = (wanted: boolean) => {
    if (wanted === armed) return;
    armed = wanted;
    if (wanted) {
      window.addEventListener('beforeunload', onBeforeUnload);
      window.navigation?.addEventListener('navigate', onNavigate);
    } else {
      window.removeEventListener('beforeunload', onBeforeUnload);
      window.navigation?.removeEventListener('navigate', onNavigate);
    }
  };

  return (snapshot) => {
    if (snapshot?.state === 'running') sharedHost = snapshot.engine.host === 'shared-worker';
    arm(snapshot?.uploads.some((upload) => bytesOnlyInPage(upload) > 0) ?? false);
  };
}

/**
 * Whether a shared worker goes on after its last page is gone (`extendedLifetime`, Chromium 2026).
 *
 * There is no flag to ask, but a browser that knows the option reads it before it looks at the URL, and
 * refuses this URL, so no worker is made.
 */
export function sharedWorkerOutlivesPage(): boolean {
  if (typeof SharedWorker === 'undefined') return false;
  let known = false;
  const options = {
    get extendedLifetime() {
      known = true;
      return true;
    },
  };
  try {
    new SharedWorker('https://:', options as WorkerOptions);
  } catch {
    // Expected: the URL has no host.
  }
  return known;
}

function originOf(url: string): string | undefined {
  try {
    return new URL(url).origin;
  } catch {
    return undefined;
  }
}
