/** Makes any ascending run of extents keep the promise of `BlockSource.extents`: contiguous, merged, exactly the range. */
import type { BlockExtent, Extent } from '@holdfast/base';

/**
 * Joins neighbours of the same kind and clips to `range`. Holes between the given extents (and before and after them)
 * become data: what nobody vouched for has to be read.
 */
export async function* contiguousExtents(options: {
  readonly range: Extent;
  readonly extents: AsyncIterable<BlockExtent> | Iterable<BlockExtent>;
}): AsyncGenerator<BlockExtent, void, undefined> {
  const end = options.range.offset + options.range.length;
  let start = options.range.offset;
  let position = start;
  let zero = false;
  for await (const extent of options.extents) {
    const extentEnd = Math.min(extent.offset + extent.length, end);
    if (extentEnd <= position) continue;
    const pieces = [
      { end: Math.min(Math.max(extent.offset, position), end), zero: false },
      { end: extentEnd, zero: extent.zero },
    ];
    for (const piece of pieces) {
      if (piece.end <= position) continue;
      if (piece.zero !== zero) {
        if (position > start) yield { offset: start, length: position - start, zero };
        start = position;
        zero = piece.zero;
      }
      position = piece.end;
    }
    if (position >= end) break;
  }
  if (position > start && (zero || position === end)) {
    yield { offset: start, length: position - start, zero };
    start = position;
  }
  if (start < end) yield { offset: start, length: end - start, zero: false };
}
