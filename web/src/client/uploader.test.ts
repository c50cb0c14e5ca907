import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeEngine, view } from './fake-engine.ts';
import { normalizeOptions } from './options.ts';
import { openUploader, type Uploader } from './uploader.ts';

const PAGE = { baseUrl: 'https://app.example/', hasSharedWorker: true };
const CONFIG = normalizeOptions({}, PAGE);

let engine: FakeEngine;
let uploader: Uploader;

beforeEach(() => {
  vi.useFakeTimers();
  engine = new FakeEngine();
  uploader = openUploader(CONFIG, engine.connect);
});

afterEach(() => {
  uploader.close();
  vi.useRealTimers();
});

function files(...names: string[]): File[] {
  return names.map((name) => new File(['x'], name));
}

describe('headers', () => {
  it('are given to the engine at the start and again when it wants others', async () => {
    let calls = 0;
    const headers = () => ({ authorization: `Bearer ${++calls}` });
    const config = { ...CONFIG, headers: normalizeOptions({ headers }, PAGE).headers };
    const signedIn = openUploader(config, engine.connect);
    await vi.waitFor(() => expect(engine.told).toEqual([['setHeaders', [['authorization', 'Bearer 1']]]]));
    engine.wantHeaders();
    await vi.waitFor(() =>
      expect(engine.told.at(-1)).toEqual(['setHeaders', [['authorization', 'Bearer 2']]]),
    );
    signedIn.close();
    engine.wantHeaders();
    expect(calls).toBe(2);
  });

  it('that the page cannot give leave the engine as it is and are reported as uncaught', async () => {
    const uncaught = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation(() => {});
    const headers = () => Promise.reject(new Error('not signed in'));
    const config = { ...CONFIG, headers: normalizeOptions({ headers }, PAGE).headers };
    const signedOut = openUploader(config, engine.connect);
    await vi.waitFor(() => expect(uncaught).toHaveBeenCalledTimes(1));
    expect(engine.told).toEqual([]);
    expect(signedOut.getSnapshot().state).toBe('starting');
    signedOut.close();
    uncaught.mockRestore();
  });
});

describe('the snapshot', () => {
  it('starts empty and runs from the first message on', () => {
    expect(uploader.getSnapshot()).toEqual({ state: 'starting', uploads: [] });
    engine.show([view()], { full: true });
    expect(uploader.getSnapshot()).toMatchObject({
      state: 'running',
      engine: { instance: 'engine-1', host: 'shared-worker' },
      uploads: [{ id: 'a', status: 'uploading', progress: 0.5 }],
    });
  });

  it('calls subscribers once a change, and not at all for none', () => {
    const onChange = vi.fn();
    const end = uploader.subscribe(onChange);
    engine.show([view()]);
    engine.show([view()]);
    expect(onChange).toHaveBeenCalledTimes(1);
    end();
    engine.show([view({ sentBytes: 600 })]);
    expect(onChange).toHaveBeenCalledTimes(1);
  });

  it('says so when the engine cannot be started, and add rejects with the reason', async () => {
    const broken = openUploader(CONFIG, () => Promise.reject(new Error('wasm did not load')));
    await expect(broken.add(files('a'))).rejects.toThrow('wasm did not load');
    expect(broken.getSnapshot()).toMatchObject({ state: 'broken', error: { code: 'engine_unavailable' } });
    broken.close();
  });

  it('says so when the engine stays silent, and goes on when it answers', async () => {
    await vi.advanceTimersByTimeAsync(15_000);
    expect(uploader.getSnapshot()).toMatchObject({ state: 'broken', error: { code: 'engine_silent' } });
    engine.show([]);
    expect(uploader.getSnapshot().state).toBe('running');
  });

  it('tells an engine bug and keeps the uploads in sight', () => {
    engine.show([view()]);
    engine.onMessage({ type: 'engineBug', detail: 'index out of bounds', report: null });
    expect(uploader.getSnapshot()).toMatchObject({
      state: 'broken',
      error: { code: 'engine_bug', detail: 'index out of bounds' },
      uploads: [{ id: 'a' }],
    });
  });
});

describe('report', () => {
  it('answers what the engine says it was told', async () => {
    await expect(uploader.report()).resolves.toContain('holdfast-report/1');
  });

  it('rejects when the engine does not answer, and when there is none', async () => {
    vi.spyOn(engine, 'report').mockResolvedValue(null);
    await expect(uploader.report()).rejects.toThrow('does not answer');
    const broken = openUploader(CONFIG, () => Promise.reject(new Error('no module')));
    await expect(broken.report()).rejects.toThrow('no module');
  });

  it('comes with the bug that ended an engine', () => {
    engine.onMessage({ type: 'engineBug', detail: 'index out of bounds', report: '{"data":""}' });
    expect(uploader.getSnapshot()).toMatchObject({ error: { code: 'engine_bug', report: '{"data":""}' } });
  });
});

describe('commands', () => {
  it('hands a thousand files over in batches and answers their ids in order', async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `file-${index}`);
    const ids = uploader.add(files(...names));
    await vi.runAllTimersAsync();
    expect(await ids).toEqual(names.map((_, index) => `picked-${index + 1}`));
    expect(engine.told.length).toBeGreaterThan(10);
    expect(engine.told.flatMap(([, batch]) => batch)).toEqual(names);
  });

  it('reach one upload by id, or every one they can mean', async () => {
    engine.show([
      view({ uploadId: 'running' }),
      view({ uploadId: 'waiting', status: 'waiting', waitingFor: 'network' }),
      view({ uploadId: 'paused', status: 'paused' }),
      view({ uploadId: 'needing', status: 'needs-file' }),
      view({ uploadId: 'done', status: 'completed', key: 'k' }),
    ]);
    uploader.pause('running');
    uploader.pause();
    uploader.resume();
    uploader.cancel();
    uploader.dismiss('done');
    await vi.advanceTimersByTimeAsync(0);
    expect(engine.told).toEqual([
      ['pause', 'running'],
      ['pause', 'running'],
      ['pause', 'waiting'],
      ['resume', 'paused'],
      ['cancel', 'running'],
      ['cancel', 'waiting'],
      ['cancel', 'paused'],
      ['cancel', 'needing'],
      ['dismiss', 'done'],
    ]);
  });

  it('are carried out once the engine is there when given before', async () => {
    let arrive: (engine: FakeEngine) => void = () => {};
    const late = openUploader(
      CONFIG,
      () =>
        new Promise((resolve) => {
          arrive = resolve;
        }),
    );
    const ids = late.add(files('early'));
    late.pause('a');
    expect(engine.told).toEqual([]);
    arrive(engine);
    expect(await ids).toEqual(['picked-1']);
    expect(engine.told).toContainEqual(['pause', 'a']);
    late.close();
  });

  it('do nothing after close', async () => {
    uploader.close();
    await vi.advanceTimersByTimeAsync(0);
    engine.show([view()]);
    expect(engine.told).toEqual([['close']]);
    expect(uploader.getSnapshot()).toEqual({ state: 'closed', uploads: [] });
  });
});

describe('events', () => {
  it('carry the upload as it stands', () => {
    const seen = vi.fn();
    uploader.on('completed', seen);
    engine.show([view({ status: 'completed', key: 'objects/report.pdf' })]);
    engine.happen('completed', 'a');
    expect(seen).toHaveBeenCalledExactlyOnceWith({
      upload: expect.objectContaining({ key: 'objects/report.pdf' }),
    });
  });

  it('of a listener that was ended are not told', () => {
    const seen = vi.fn();
    uploader.on('safe', seen)();
    engine.show([view()]);
    engine.happen('safe', 'a');
    expect(seen).not.toHaveBeenCalled();
  });
});

describe('a refused file', () => {
  const needing = view({ uploadId: 'old', name: 'thesis.pdf', status: 'needs-file' });

  it('stands in the snapshot by its name and can be uploaded as a new one', async () => {
    engine.show([needing]);
    const [pickedAs] = await uploader.add(files('holiday.mov'));
    engine.happen('fileRefused', 'old', {
      name: 'holiday.mov',
      reason: 'it has another size',
      pickedAs: pickedAs ?? null,
    });
    expect(uploader.getSnapshot().uploads[0]).toMatchObject({
      status: 'needs-file',
      refusal: { fileName: 'holiday.mov', reason: 'it has another size', canUploadAsNew: true },
    });
    uploader.uploadRefusedAsNew('old');
    await vi.advanceTimersByTimeAsync(0);
    expect(engine.told.at(-1)).toEqual(['add', ['holiday.mov'], true]);
    expect(uploader.getSnapshot().uploads[0]).toMatchObject({ refusal: undefined });
  });

  it('that was added before the first snapshot can be uploaded as a new one', async () => {
    const [pickedAs] = await uploader.add(files('holiday.mov'));
    engine.show([needing], { full: true });
    engine.happen('fileRefused', 'old', { name: 'holiday.mov', pickedAs: pickedAs ?? null });
    expect(uploader.getSnapshot().uploads[0]).toMatchObject({ refusal: { canUploadAsNew: true } });
  });

  it('stays in the snapshot while the upload changes otherwise, until the right one is accepted', () => {
    engine.show([needing]);
    uploader.provide('old', new File(['x'], 'wrong.pdf'));
    engine.happen('fileRefused', 'old', { name: 'wrong.pdf', reason: 'it differs' });
    engine.show([{ ...needing, confirmedBytes: 401 }]);
    expect(uploader.getSnapshot().uploads[0]).toMatchObject({ refusal: { fileName: 'wrong.pdf' } });
    engine.happen('fileAccepted', 'old');
    expect(uploader.getSnapshot().uploads[0]).toMatchObject({ refusal: undefined });
  });
});
