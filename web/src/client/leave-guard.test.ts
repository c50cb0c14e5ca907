import { beforeEach, describe, expect, it } from 'vitest';
import { view } from './fake-engine.ts';
import { bytesOnlyInPage, type GuardedWindow, guardLeaving } from './leave-guard.ts';
import type { UploadView } from './port.ts';
import { toUpload, type UploaderSnapshot } from './snapshot.ts';

const UNSAFE = view({ durability: 'memory', confirmedBytes: 0, stagedBytes: 0 });
const SAFE = view({ durability: 'safe' });

class FakeWindow extends EventTarget {
  readonly location = { origin: 'https://app.example' };
  readonly navigation = new EventTarget();

  /** Leaves the page; answers whether the browser would ask. */
  leave(): boolean {
    return !this.dispatchEvent(new Event('beforeunload', { cancelable: true }));
  }

  moveTo(url: string): boolean {
    this.navigation.dispatchEvent(Object.assign(new Event('navigate'), { destination: { url } }));
    return this.leave();
  }
}

function running(...views: UploadView[]): UploaderSnapshot {
  const uploads = views.map((each) => toUpload(each, undefined));
  return { state: 'running', engine: { instance: 'e', host: 'shared-worker' }, uploads };
}

let window: FakeWindow;

beforeEach(() => {
  window = new FakeWindow();
});

function guard(outlivesPage: boolean): (snapshot: UploaderSnapshot | undefined) => void {
  return guardLeaving(window as unknown as GuardedWindow, outlivesPage);
}

describe('guardLeaving', () => {
  it('asks only while bytes are nowhere but in the page', () => {
    const tell = guard(false);
    expect(window.leave()).toBe(false);
    tell(running(UNSAFE, SAFE));
    expect(window.leave()).toBe(true);
    tell(running(SAFE));
    expect(window.leave()).toBe(false);
  });

  it('asks nothing for a move within the origin when the engine outlives the page', () => {
    const tell = guard(true);
    tell(running(UNSAFE));
    expect(window.moveTo('https://app.example/second.html')).toBe(false);
    expect(window.moveTo('https://elsewhere.example/')).toBe(true);
  });

  it('asks for a move within the origin when the engine dies with the page', () => {
    const tell = guard(false);
    tell(running(UNSAFE));
    expect(window.moveTo('https://app.example/second.html')).toBe(true);
  });

  it('asks nothing once it has ended', () => {
    const tell = guard(false);
    tell(running(UNSAFE));
    tell(undefined);
    expect(window.leave()).toBe(false);
  });
});

describe('bytesOnlyInPage', () => {
  it('is what is neither staged nor confirmed', () => {
    expect(bytesOnlyInPage(toUpload(view(), undefined))).toBe(500);
  });

  it('is never nothing while the engine does not say safe', () => {
    const overlapping = view({ confirmedBytes: 700, stagedBytes: 300 });
    expect(bytesOnlyInPage(toUpload(overlapping, undefined))).toBe(1);
  });

  it.each(['completed', 'failed', 'cancelled', 'needs-file'] as const)(
    'is nothing of an upload that is %s',
    (status) => {
      expect(bytesOnlyInPage(toUpload(view({ status, durability: 'memory' }), undefined))).toBe(0);
    },
  );
});
