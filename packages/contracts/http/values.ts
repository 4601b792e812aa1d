/** Values that many resources have. */
import type { IdPrefix } from '@holdfast/base';
import { z } from 'zod';

/** `usr_0193...`. */
export function idOf(prefix: IdPrefix) {
  return z
    .string()
    .regex(new RegExp(`^${prefix}_[0-9a-f]{32}$`), `An id that begins with ${prefix}_ and 32 hexadecimal digits.`)
    .meta({ examples: [`${prefix}_01932b6f3a7c7b1e9f00c2d4e6a81b35`] });
}

/** RFC 3339, UTC. */
export const time = z.iso.datetime().meta({ examples: ['2026-11-21T22:50:00.000Z'] });

/** What every row carries. */
export const rowFields = {
  created_at: time,
  updated_at: time,
  version: z.int().min(1).describe('Grows with every change; the ETag is made of it'),
};

/** Sizes are in bytes, exact up to 8 PiB. */
export const sizeBytes = z.int().min(0);

/** Text that people type: no control characters, no blanks around it. */
export function label(longest: number) {
  return (
    z
      .string()
      .trim()
      .min(1)
      .max(longest)
      .regex(/^\P{Cc}*$/u, 'Without control characters.')
      // Half of a surrogate pair is no character; a database keeps something else in its place.
      .refine((text) => text.isWellFormed(), 'Whole characters of Unicode.')
  );
}

/** A zone that this runtime knows. */
export const timeZone = z
  .string()
  .max(64)
  .refine(isTimeZone, 'A time zone of the IANA database, such as Europe/Berlin or UTC.')
  .meta({ examples: ['Europe/Berlin'] });

function isTimeZone(name: string): boolean {
  // Offsets such as +02:00 know no daylight-saving time, so schedules must not have them.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

export const locale = z
  .string()
  .max(35)
  .refine(isLocale, 'A language tag, such as en or pt-BR.')
  .meta({ examples: ['en'] });

function isLocale(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length === 1;
  } catch {
    return false;
  }
}
