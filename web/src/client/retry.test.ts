import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { untilItWorks } from './retry.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('untilItWorks', () => {
  it('answers at once when the first try works', async () => {
    const attempt = vi.fn(async () => 'loaded');
    expect(await untilItWorks(attempt)).toBe('loaded');
    expect(attempt).toHaveBeenCalledTimes(1);
  });

  it('tries again after pauses that double up to 8 s', async () => {
    const start = Date.now();
    const triedAtMs: number[] = [];
    const answer = untilItWorks(async () => {
      triedAtMs.push(Date.now() - start);
      if (triedAtMs.length < 8) throw new Error('offline');
      return 'loaded';
    });
    await vi.runAllTimersAsync();
    expect(await answer).toBe('loaded');
    expect(triedAtMs).toEqual([0, 500, 1500, 3500, 7500, 15_500, 23_500, 31_500]);
  });
});
