/** Numbers of a benchmark: in turns, told as medians, ranges and ratios. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** The times of one peer in one case, in ms, in the order they were taken. */
export interface Series {
  readonly name: string;
  readonly peer: string;
  readonly ms: number[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[middle - 1] ?? Number.NaN, sorted[middle] ?? Number.NaN];
  return sorted.length % 2 === 0 ? (low + high) / 2 : high;
}

/** One line a series: its median, its range, and its median over that of the case's peer `raw`. */
export function table(series: readonly Series[]): string {
  const rows = series.map(({ name, peer, ms }) => {
    const raw = series.find((other) => other.name === name && other.peer === 'raw');
    return [
      name,
      peer,
      seconds(median(ms)),
      `${seconds(Math.min(...ms))}–${seconds(Math.max(...ms))}`,
      raw ? (median(ms) / median(raw.ms)).toFixed(2) : '',
    ];
  });
  return columns([['case', 'peer', 'median s', 'min–max s', '× raw'], ...rows]);
}

/** Rows of cells, each column as wide as its widest cell. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** Writes the series with what is needed to judge them later. */
export function writeReport(path: string, series: readonly Series[], about: Record<string, unknown>): void {
  mkdirSync(dirname(path), { recursive: true });
  const results = series.map((each) => ({ ...each, medianMs: median(each.ms) }));
  writeFileSync(path, `${JSON.stringify({ ...about, results }, undefined, 2)}\n`);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}
