/** What a page remembers for the test: each upload's states in order, and its longest task. */

/** States that were shown one after the other, without repeats. */
export interface UploadRecord {
  readonly statuses: string[];
  readonly durabilities: string[];
}

export interface PageRecord {
  readonly uploads: Record<string, UploadRecord>;
  /** Tasks of the main thread of more than 50 ms, in ms. */
  readonly longTasks: number[];
}

declare global {
  interface Window {
    holdfastRecord: PageRecord;
  }
}

/**
 * Runs in the page before anything else. It must stand alone: it is sent there as source text.
 *
 * Mutation records come in batches, but each carries the value before it, so no state is missed.
 */
export function recordPage(): void {
  const record: PageRecord = { uploads: {}, longTasks: [] };
  window.holdfastRecord = record;
  const note = (row: Element, attribute: string | null, value: string | null) => {
    const id = row.getAttribute('data-upload-id');
    if (!id || !value) return;
    record.uploads[id] ??= { statuses: [], durabilities: [] };
    const states =
      attribute === 'data-status' ? record.uploads[id].statuses : record.uploads[id].durabilities;
    if (states.at(-1) !== value) states.push(value);
  };
  const noteNow = (row: Element) => {
    for (const attribute of ['data-status', 'data-durability'])
      note(row, attribute, row.getAttribute(attribute));
  };
  const observer = new MutationObserver((mutations) => {
    const rows = new Set<Element>();
    for (const { type, target, attributeName, oldValue, addedNodes } of mutations) {
      if (type === 'attributes' && target instanceof Element) {
        note(target, attributeName, oldValue);
        rows.add(target);
      }
      for (const node of addedNodes) {
        if (!(node instanceof Element)) continue;
        if (node.hasAttribute('data-upload-id')) rows.add(node);
        for (const row of node.querySelectorAll('[data-upload-id]')) rows.add(row);
      }
    }
    for (const row of rows) noteNow(row);
  });
  observer.observe(document, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeOldValue: true,
    attributeFilter: ['data-status', 'data-durability'],
  });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) record.longTasks.push(entry.duration);
  }).observe({ type: 'longtask', buffered: true });
}
