/** Numbers as people read them. Pure. */

const UNITS = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;

/** A size in bytes with three digits: `210 MB`, `1.07 GB`, `1 byte`. Decimal units, as on disks and links. */
export function formatBytes(bytes: number): string {
  const whole = Number.isFinite(bytes) && bytes > 0 ? Math.round(bytes) : 0;
  if (whole < 1000) return whole === 1 ? '1 byte' : `${whole} bytes`;
  let value = whole;
  let unit = 0;
  // 999.5 would be rounded to 1000 of its unit.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** What is left at this speed, in words: `12 s left`. Nothing while there is no speed to go by. */
export function formatTimeLeft(bytesLeft: number, bytesPerSecond: number): string {
  if (bytesLeft <= 0 || bytesPerSecond <= 0) return '';
  const seconds = Math.ceil(bytesLeft / bytesPerSecond);
  if (seconds < 90) return `${seconds} s left`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min left`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h left` : `${Math.round(hours / 24)} days left`;
}

/** A share from 0 to 1 in whole per cent; 100 only when it is all. */
export function formatPercent(share: number): string {
  const percent = share >= 1 ? 100 : Math.min(99, Math.max(0, Math.floor(share * 100)));
  return `${percent} %`;
}

/** `1 file`, `3 files`. */
export function count(amount: number, singular: string, plural = `${singular}s`): string {
  return `${amount} ${amount === 1 ? singular : plural}`;
}
