/** Every sentence the element says about uploads. Pure. */
import { bytesOnlyInPage } from '../client/leave-guard.ts';
import { hasEnded, type Upload } from '../client/snapshot.ts';
import { count, formatBytes, formatTimeLeft } from './format.ts';

/** Whether the page may be closed, in one line. `level` is also the line's `data-level`. */
export interface ClosingLine {
  readonly level: 'idle' | 'keep' | 'safe' | 'needs-file' | 'done';
  readonly text: string;
}

/** The line that says when closing is safe. */
export function closingLine(uploads: readonly Upload[]): ClosingLine {
  const running = uploads.filter((upload) => !hasEnded(upload) && upload.status !== 'needs-file');
  const needing = uploads.filter((upload) => upload.status === 'needs-file').length;
  const bytes = running.reduce((sum, upload) => sum + bytesOnlyInPage(upload), 0);
  if (bytes > 0) {
    if (
      running.some(
        (upload) => !upload.resumable && upload.durability === 'memory' && upload.status !== 'queued',
      )
    ) {
      return {
        level: 'keep',
        text: 'Keep this page open until it is done: the browser stores nothing for later.',
      };
    }
    return {
      level: 'keep',
      text: `Keep this page open: ${formatBytes(bytes)} ${bytes === 1 ? 'is' : 'are'} only in this page.`,
    };
  }
  if (running.length > 0) {
    const text =
      running.length === 1
        ? 'Safe to close: it goes on by itself when you come back.'
        : 'Safe to close: they go on by themselves when you come back.';
    return { level: 'safe', text };
  }
  if (needing > 0) {
    const text = `${count(needing, 'upload needs its file', 'uploads need their files')} again to go on.`;
    return { level: 'needs-file', text };
  }
  const completed = uploads.filter((upload) => upload.status === 'completed').length;
  if (completed > 0) {
    return { level: 'done', text: `Done: ${count(completed, 'file is', 'files are')} at the store.` };
  }
  return { level: 'idle', text: '' };
}

/** Totals of what is running: `2 uploads · 96 MB of 240 MB · 12 MB/s · 12 s left`. */
export function totalsLine(uploads: readonly Upload[]): string {
  const running = uploads.filter((upload) => !hasEnded(upload) && upload.status !== 'needs-file');
  if (running.length === 0) return '';
  const sum = (of: (upload: Upload) => number) => running.reduce((total, upload) => total + of(upload), 0);
  const size = sum((upload) => upload.sizeBytes);
  const sent = sum((upload) => upload.sentBytes);
  const speed = sum((upload) => upload.bytesPerSecond);
  return joined([
    count(running.length, 'upload'),
    `${formatBytes(sent)} of ${formatBytes(size)}`,
    speed > 0 ? `${formatBytes(speed)}/s` : '',
    formatTimeLeft(size - sent, speed),
  ]);
}

/** What one upload is doing, under its name. */
export function detailLine(upload: Upload): string {
  const amount = `${formatBytes(upload.sentBytes)} of ${formatBytes(upload.sizeBytes)}`;
  switch (upload.status) {
    case 'queued':
      return joined([formatBytes(upload.sizeBytes), 'Waiting for its turn']);
    case 'uploading':
      return joined([
        amount,
        upload.bytesPerSecond > 0 ? `${formatBytes(upload.bytesPerSecond)}/s` : '',
        formatTimeLeft(upload.sizeBytes - upload.sentBytes, upload.bytesPerSecond),
      ]);
    case 'paused':
      return joined([amount, 'Paused']);
    case 'waiting':
      return joined([amount, WAITING[upload.waitingFor]]);
    case 'needs-file':
      return joined([
        `${formatBytes(upload.confirmedBytes)} of ${formatBytes(upload.sizeBytes)} at the store`,
        'The rest needs the file again',
      ]);
    case 'completing':
      return joined([formatBytes(upload.sizeBytes), 'Sent; the store is confirming size and checksum']);
    case 'completed':
      return joined([formatBytes(upload.sizeBytes), 'Uploaded, confirmed by the store']);
    case 'failed':
      return joined([amount, 'Failed']);
    case 'cancelled':
      return joined([formatBytes(upload.sizeBytes), 'Cancelled']);
  }
}

/** The chip beside an upload: what closing the page would lose of it. Nothing once it has ended. */
export function durabilityChip(upload: Upload): string {
  if (hasEnded(upload) || upload.status === 'needs-file' || upload.status === 'completing') return '';
  return DURABILITY[upload.durability];
}

/** Why the last file was refused. The engine's reason names both files. */
export function refusalLine(upload: Upload & { status: 'needs-file' }): string {
  return upload.refusal ? `${upload.refusal.reason}. Nothing of it was sent.` : '';
}

const WAITING = {
  network: 'Offline; goes on when the network is back',
  server: 'The server does not answer; trying again',
  store: 'The store does not answer; trying again',
} as const;

const DURABILITY = {
  memory: 'Only in this page',
  partial: 'Partly saved',
  safe: 'Safe to close',
} as const;

function joined(pieces: string[]): string {
  return pieces.filter((piece) => piece !== '').join(' · ');
}
