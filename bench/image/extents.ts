/** Where a raw or qcow2 image has data, asked of qemu-img, and arithmetic over such lists. */
import type { Extent } from '@holdfast/base';
import { run } from '../process/run.ts';

type MapEntry = { readonly start: number; readonly length: number; readonly data: boolean };

/** Data extents in ascending order, neighbours joined; of a raw file at the granularity of its file system (4 KiB). */
export async function dataExtents(options: {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly Extent[]> {
  const { path, format, signal } = options;
  const text = await run({ command: ['qemu-img', 'map', '--output=json', '-f', format, path], signal });
  return joined((JSON.parse(text) as readonly MapEntry[]).filter((entry) => entry.data).map(toExtent));
}

export function totalBytes(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.length, 0);
}

/** The parts of [0, sizeBytes) that no extent covers. */
export function complement(extents: readonly Extent[], sizeBytes: number): readonly Extent[] {
  const gaps: Extent[] = [];
  let end = 0;
  for (const { offset, length } of extents) {
    if (offset > end) gaps.push({ offset: end, length: offset - end });
    end = Math.max(end, offset + length);
  }
  if (end < sizeBytes) gaps.push({ offset: end, length: sizeBytes - end });
  return gaps;
}

/** What two ascending lists have in common. */
export function intersection(left: readonly Extent[], right: readonly Extent[]): readonly Extent[] {
  const shared: Extent[] = [];
  let leftAt = 0;
  let rightAt = 0;
  for (;;) {
    const one = left[leftAt];
    const other = right[rightAt];
    if (one === undefined || other === undefined) return shared;
    const start = Math.max(one.offset, other.offset);
    const end = Math.min(one.offset + one.length, other.offset + other.length);
    if (end > start) shared.push({ offset: start, length: end - start });
    if (one.offset + one.length < other.offset + other.length) leftAt += 1;
    else rightAt += 1;
  }
}

/** Ascending, with touching extents made one. */
export function joined(extents: readonly Extent[]): readonly Extent[] {
  const result: { offset: number; length: number }[] = [];
  for (const { offset, length } of extents.toSorted((a, b) => a.offset - b.offset)) {
    const last = result.at(-1);
    if (last !== undefined && last.offset + last.length >= offset) {
      last.length = Math.max(last.length, offset + length - last.offset);
    } else result.push({ offset, length });
  }
  return result;
}

/** Bytes of the whole grid cells that the extents touch: what an increment has to read at that grid. */
export function cellsTouchedBytes(extents: readonly Extent[], cellBytes: number): number {
  const cells = new Set<number>();
  for (const { offset, length } of extents) {
    for (let cell = Math.floor(offset / cellBytes); cell * cellBytes < offset + length; cell += 1) cells.add(cell);
  }
  return cells.size * cellBytes;
}

function toExtent(entry: MapEntry): Extent {
  return { offset: entry.start, length: entry.length };
}
