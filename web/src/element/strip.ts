/** The strip of parts, drawn as one gradient: a thousand rows of 64 cells would be 64,000 elements. */

const COLOURS: Readonly<Record<string, string>> = {
  p: 'var(--hf-track)',
  s: 'var(--hf-staged)',
  f: 'var(--hf-in-flight)',
  c: 'var(--hf-confirmed)',
  l: 'var(--hf-lost)',
};

/**
 * A CSS `background-image` for cells as letters (see `Upload.cells`). A file of one part has no parts to
 * show, so its strip fills by `progress`, 0 to 1.
 */
export function stripGradient(cells: string, progress: number): string {
  if (cells.length <= 1) {
    const filled = cells === 'l' ? COLOURS.l : progress >= 1 ? COLOURS.c : COLOURS.f;
    const end = cells === 'l' ? 100 : round(progress * 100);
    return gradient([`${filled} 0% ${end}%`, `${COLOURS.p} ${end}% 100%`]);
  }
  const stops: string[] = [];
  for (let start = 0; start < cells.length; ) {
    const letter = cells[start] ?? 'p';
    let end = start + 1;
    while (cells[end] === letter) end += 1;
    const colour = COLOURS[letter] ?? COLOURS.p;
    stops.push(`${colour} ${round((start / cells.length) * 100)}% ${round((end / cells.length) * 100)}%`);
    start = end;
  }
  return gradient(stops);
}

function gradient(stops: string[]): string {
  return `linear-gradient(90deg, ${stops.join(', ')})`;
}

function round(percent: number): number {
  return Math.round(percent * 100) / 100;
}
