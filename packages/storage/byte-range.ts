/** What a `ByteRange` means for an object of a known size: the rule of the port, kept once for all drivers. */
import { HoldfastError } from '@holdfast/base';
import type { ByteRange } from './blob-store.ts';

/**
 * Start (inclusive) and end (exclusive), `0 <= start <= end <= sizeBytes`.
 * @throws internal when offset or length is no safe integer, or the length of a forward range is negative
 */
export function resolveRange(range: ByteRange | undefined, sizeBytes: number): { start: number; end: number } {
  if (range === undefined) return { start: 0, end: sizeBytes };
  assertRange(range);
  if (range.offset < 0) return { start: Math.max(0, sizeBytes + range.offset), end: sizeBytes };
  const start = Math.min(range.offset, sizeBytes);
  return { start, end: Math.min(sizeBytes, start + range.length) };
}

/** @throws internal */
export function assertRange({ offset, length }: ByteRange): void {
  const forwardLengthIsFine = offset < 0 || (Number.isSafeInteger(length) && length >= 0);
  if (Number.isSafeInteger(offset) && forwardLengthIsFine) return;
  throw new HoldfastError('internal', `A range of ${length} bytes from ${offset} was asked for.`);
}
