/** Values of options that are more than a word. */
import { GiB, HoldfastError, KiB, MiB, TiB } from '@holdfast/base';

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

/** "vda=images/a.raw" -> vda and the rest; undefined when no disk is named. */
export function splitDiskValue(text: string): { readonly disk: string; readonly value: string } | undefined {
  const match = /^([a-z][a-z0-9]{0,31})=(.+)$/s.exec(text);
  return match ? { disk: match[1]!, value: match[2]! } : undefined;
}
