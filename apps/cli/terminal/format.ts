/** Numbers and times as people read them. */
import { formatBytes } from '@holdfast/base';

/** "350 ms", "12.3 s", "4 min 05 s", "2 h 07 min". */
export function formatDuration(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 99_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${twoDigits(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${twoDigits(minutes % 60)} min`;
}

/** "214.00 MiB/s". A duration below a millisecond counts as one. */
export function formatRate(sizeBytes: number, durationMs: number): string {
  return `${formatBytes(Math.round((sizeBytes * 1000) / Math.max(1, durationMs)))}/s`;
}

/** "2026-11-21 09:55:00" in the zone of this machine. */
export function formatLocalTime(time: string | Date): string {
  const date = new Date(time);
  const day = [date.getFullYear(), twoDigits(date.getMonth() + 1), twoDigits(date.getDate())].join('-');
  return `${day} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':')}`;
}

/** "1 point", "3 points". */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Labels and names may hold anything; a terminal obeys control characters. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, ' ');
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}
