/** How long a page's main thread was busy at a stretch, by the processor's clock. */
import type { Page } from '@playwright/test';

/** A task of the main thread. */
export interface BusyTask {
  /** From its begin to its end. */
  readonly wallMs: number;
  /** Of that, how long it ran: the rest the system gave to others. */
  readonly cpuMs: number;
}

interface TraceEvent {
  readonly ph: string;
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/**
 * Traces the tasks of the page's main thread. Answers the function that ends it and tells those of at
 * least `wallMsMin`.
 *
 * The browser's own record of long tasks goes by the wall clock, on which a task that waits for one of
 * two busy cores looks long.
 */
export async function traceBusyTasks(page: Page): Promise<(wallMsMin: number) => Promise<BusyTask[]>> {
  const session = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  session.on('Tracing.dataCollected', ({ value }) => {
    events.push(...(value as unknown as TraceEvent[]).filter((event) => ['X', 'M'].includes(event.ph)));
  });
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel'], excludedCategories: ['*'] },
  });
  return async (wallMsMin) => {
    const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve));
    await session.send('Tracing.end');
    await complete;
    await session.detach();
    const mains = events.filter(({ ph, args }) => ph === 'M' && args?.name === 'CrRendererMain');
    const isMain = new Set(mains.map(({ pid, tid }) => `${pid}/${tid}`));
    return events
      .filter(({ name, pid, tid }) => name.endsWith('RunTask') && isMain.has(`${pid}/${tid}`))
      .map(({ dur, tdur }) => ({ wallMs: (dur ?? 0) / 1000, cpuMs: (tdur ?? dur ?? 0) / 1000 }))
      .filter(({ wallMs }) => wallMs >= wallMsMin);
  };
}
