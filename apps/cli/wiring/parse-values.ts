/** Values of options that are more than a word. */
import { type Clock, GiB, HoldfastError, KiB, MiB, TiB } from '@holdfast/base';

const multiples: Readonly<Record<string, number>> = { '': 1, k: KiB, m: MiB, g: GiB, t: TiB };

/** "65536", "64K", "64KiB", "1.5G"; multiples are of 1024. Above zero. @throws usage */
export function parseBytes(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec(text);
  const sizeBytes = match ? Math.round(Number(match[1]) * multiples[(match[2] ?? '').toLowerCase()]!) : Number.NaN;
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0) return sizeBytes;
  throw new HoldfastError('usage', `${option} does not take "${text}".`, {
    remedy: 'Give a number of bytes above zero, such as 65536, 64K or 1.5G.',
  });
}

/** "0", "7". @throws usage */
export function parseWhole(option: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new HoldfastError('usage', `${option} does not take "${text}".`, { remedy: 'Give a whole number, such as 7.' });
}

/** "50", "50%", "12.5%"; above 0, up to 100. @throws usage */
export function parsePercent(option: string, text: string): number {
  const percent = /^\d+(?:\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new HoldfastError('usage', `${option} does not take "${text}".`, {
    remedy: 'Give a share above 0 and up to 100, such as 50 or 50%.',
  });
}

const durationUnitsMs: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** "90s", "45m", "12h", "30d", "2w", "1.5h" in milliseconds; above zero. @throws usage */
export function parseDuration(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([smhdw])$/i.exec(text);
  const durationMs = match ? Math.round(Number(match[1]) * durationUnitsMs[match[2]!.toLowerCase()]!) : Number.NaN;
  if (Number.isSafeInteger(durationMs) && durationMs > 0) return durationMs;
  throw new HoldfastError('usage', `${option} does not take "${text}".`, {
    remedy: 'Give a number with s, m, h, d or w for its unit, such as 45m, 12h or 30d.',
  });
}

/** "vda=images/a.raw" -> vda and the rest; undefined when no disk is named. */
export function splitDiskValue(text: string): { readonly disk: string; readonly value: string } | undefined {
  const match = /^([a-z][a-z0-9]{0,31})=(.+)$/s.exec(text);
  return match ? { disk: match[1]!, value: match[2]! } : undefined;
}

/**
 * "2026-11-21", "2026-11-21 09:55", "2026-11-21T09:55:30Z", "...+02:00"; without a zone it is the time of this machine.
 * Milliseconds since 1970. @throws usage, also for a time that is still to come
 */
export function parseTime(option: string, text: string, clock: Clock): number {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(Z|[+-]\d{2}:\d{2})?)?$/.exec(text);
  const timeMs = match ? Date.parse(`${match[1]}T${match[2] ?? '00:00'}${match[3] ?? ''}`) : Number.NaN;
  if (timeMs >= 0 && timeMs <= clock.nowMs()) return timeMs;
  throw new HoldfastError('usage', `${option} does not take "${text}".`, {
    remedy: 'Give a time in the past, such as 2026-11-21T09:55 or 2026-11-21T09:55:00+02:00.',
  });
}
