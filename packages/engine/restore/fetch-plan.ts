/**
 * Turns map entries into range reads: pack by pack, neighbours in one request, equal chunks once. Works on windows of the
 * map, so memory does not depend on the disk's size.
 */
import { KiB, MiB } from '@holdfast/base';
import type { DataReference } from '../map/reference-list.ts';

/** One request at most; with 16 in flight this bounds memory to 64 MiB of packed data. */
export const maximumRangeBytes = 4 * MiB;
/** A gap up to this is cheaper to read than a second request. */
const maximumGapBytes = 64 * KiB;

export type WantedChunk = { readonly chunk: number; readonly reference: DataReference };

export type FetchChunk = {
  readonly reference: DataReference;
  /** Every place of the disk with this content. */
  readonly chunks: number[];
};

/** One range of one pack, and the chunks inside it in order of their offset. */
export type FetchJob = {
  readonly packId: string;
  readonly offset: number;
  readonly length: number;
  readonly chunks: readonly FetchChunk[];
};

/** Jobs in pack-major order. */
export function planFetches(wanted: readonly WantedChunk[]): FetchJob[] {
  const distinct = new Map<string, FetchChunk>();
  for (const { chunk, reference } of wanted) {
    const { packId, slot } = reference.location;
    const place = `${packId}.${slot}`;
    const known = distinct.get(place);
    if (known) known.chunks.push(chunk);
    else distinct.set(place, { reference, chunks: [chunk] });
  }
  const jobs: { packId: string; offset: number; length: number; chunks: FetchChunk[] }[] = [];
  for (const fetch of [...distinct.values()].sort(byPlace)) {
    const { packId, offset, storedBytes } = fetch.reference.location;
    const last = jobs.at(-1);
    const end = offset + storedBytes;
    const fits =
      last?.packId === packId &&
      offset - (last.offset + last.length) <= maximumGapBytes &&
      end - last.offset <= maximumRangeBytes;
    if (fits) {
      last.length = end - last.offset;
      last.chunks.push(fetch);
    } else jobs.push({ packId, offset, length: storedBytes, chunks: [fetch] });
  }
  return jobs;
}

function byPlace(a: FetchChunk, b: FetchChunk): number {
  const left = a.reference.location;
  const right = b.reference.location;
  if (left.packId !== right.packId) return left.packId < right.packId ? -1 : 1;
  return left.offset - right.offset;
}
