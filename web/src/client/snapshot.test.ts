import { describe, expect, it } from 'vitest';
import { view } from './fake-engine.ts';
import type { UploadView } from './port.ts';
import { applySnapshotMessage, STARTING, toUpload, type UploaderSnapshot } from './snapshot.ts';

const ENGINE = { instance: 'engine-1', host: 'shared-worker' } as const;

function apply(
  before: UploaderSnapshot,
  uploads: UploadView[],
  more: { removed?: string[]; full?: boolean } = {},
): UploaderSnapshot {
  const message = {
    type: 'snapshot',
    engine: ENGINE,
    uploads,
    removed: more.removed ?? [],
    full: more.full ?? false,
  } as const;
  return applySnapshotMessage(before, message, () => undefined);
}

describe('applySnapshotMessage', () => {
  it('keeps the same object when nothing changed', () => {
    const before = apply(STARTING, [view({ uploadId: 'a' }), view({ uploadId: 'b' })]);
    expect(apply(before, [view({ uploadId: 'b' })])).toBe(before);
    expect(apply(before, [])).toBe(before);
  });

  it('replaces only the upload that changed', () => {
    const before = apply(STARTING, [view({ uploadId: 'a' }), view({ uploadId: 'b' })]);
    const after = apply(before, [view({ uploadId: 'b', sentBytes: 501 })]);
    expect(after).not.toBe(before);
    expect(after.uploads[0]).toBe(before.uploads[0]);
    expect(after.uploads[1]).toMatchObject({ id: 'b', sentBytes: 501 });
  });

  it('keeps the order of adding when an earlier upload changes', () => {
    const before = apply(STARTING, [view({ uploadId: 'a' }), view({ uploadId: 'b' })]);
    const after = apply(before, [view({ uploadId: 'a', sentBytes: 900 }), view({ uploadId: 'c' })]);
    expect(after.uploads.map((upload) => upload.id)).toEqual(['a', 'b', 'c']);
  });

  it('drops what a full message does not name, and what was removed', () => {
    const before = apply(STARTING, [
      view({ uploadId: 'a' }),
      view({ uploadId: 'b' }),
      view({ uploadId: 'c' }),
    ]);
    const removed = apply(before, [], { removed: ['b'] });
    expect(removed.uploads.map((upload) => upload.id)).toEqual(['a', 'c']);
    expect(
      apply(removed, [view({ uploadId: 'c' })], { full: true }).uploads.map((upload) => upload.id),
    ).toEqual(['c']);
  });

  it('cannot be changed from outside', () => {
    const snapshot = apply(STARTING, [view()]);
    expect(Object.isFrozen(snapshot)).toBe(true);
    expect(Object.isFrozen(snapshot.uploads)).toBe(true);
    expect(Object.isFrozen(snapshot.uploads[0])).toBe(true);
  });
});

describe('toUpload', () => {
  it('counts an empty file as done only once it is completed', () => {
    expect(toUpload(view({ sizeBytes: 0, sentBytes: 0 }), undefined).progress).toBe(0);
    expect(
      toUpload(view({ sizeBytes: 0, sentBytes: 0, status: 'completed', key: 'k' }), undefined).progress,
    ).toBe(1);
  });

  it('tells why an upload failed', () => {
    const error = { code: 'file_too_large', detail: 'file is 6 bytes, above the limit of 5 bytes' };
    expect(toUpload(view({ status: 'failed', error }), undefined)).toMatchObject({ status: 'failed', error });
  });

  it('keeps a refusal that another page saw, without a file to upload as new', () => {
    const error = { code: 'file_refused', detail: 'it has 7 bytes' };
    expect(toUpload(view({ status: 'needs-file', error }), undefined)).toMatchObject({
      refusal: { fileName: '', reason: 'it has 7 bytes', canUploadAsNew: false },
    });
  });
});
