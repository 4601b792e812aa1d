/**
 * The guard against a dirty bitmap that lies: of the chunks it calls clean, a sample is read and compared with the
 * parent. One mismatch and the bitmap is not believed. Most of the sample is chosen by chance; the first and the last clean
 * chunk with content are always in it, as they tell what chance may miss: another disk in this one's place, and one whose end
 * was cut off and grew again, which QEMU notes in no bitmap.
 */
import { randomInt } from 'node:crypto';
import { type BlockSource, runLanes } from '@holdfast/base';
import type { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, chunksPerPage, type Geometry } from '../chunk/geometry.ts';
import { isAllZero } from '../chunk/zero.ts';
import type { ChunkCodec } from '../codec/chunk-codec.ts';
import type { MapReader } from '../map/map-reader.ts';

const sampleShare = 0.001;
const minimumSample = 16;
/** Reads in flight: a map page and a chunk each. */
const sampleLanes = 4;

/** The first and the last clean chunk that has content in the parent; they may be the same. */
export type CleanEnds = { readonly first: number; readonly last: number };

export type CleanSample = { readonly readBytes: number; readonly mismatch: number | undefined };

/** Undefined when there is none. Pages are read until one is found. @throws as `MapReader.page` */
export async function findCleanEnds(
  changed: ChunkSet,
  parent: MapReader,
  signal?: AbortSignal,
): Promise<CleanEnds | undefined> {
  const pages = Array.from({ length: parent.geometry.pageCount }, (_, page) => page);
  for (const page of pages) {
    const [first] = await cleanContent({ changed, parent, page, signal });
    if (first === undefined) continue;
    for (const page of pages.toReversed()) {
      const last = (await cleanContent({ changed, parent, page, signal })).at(-1);
      if (last !== undefined) return { first, last };
    }
  }
  return undefined;
}

async function cleanContent(options: {
  readonly changed: ChunkSet;
  readonly parent: MapReader;
  readonly page: number;
  readonly signal: AbortSignal | undefined;
}): Promise<number[]> {
  const { changed, parent, page, signal } = options;
  if (parent.pageReference(page).kind === 'zero') return [];
  const first = page * chunksPerPage;
  return (await parent.page(page, signal)).flatMap((entry, index) => {
    const chunk = first + index;
    return 'id' in entry && chunk < changed.chunkCount && !changed.has(chunk) ? [chunk] : [];
  });
}

/**
 * Chunk numbers in ascending order, without doubles, none of them in `changed`: a thousandth of the clean ones, at least 16,
 * those of `ends` among them.
 */
export function chooseCleanSample(
  changed: ChunkSet,
  ends: CleanEnds | undefined,
  random: (below: number) => number = (below) => randomInt(below),
): number[] {
  const cleanCount = changed.chunkCount - changed.size;
  const wanted = Math.min(cleanCount, Math.max(minimumSample, Math.ceil(cleanCount * sampleShare)));
  const chosen = new Set<number>(ends && [ends.first, ends.last]);
  // Random probes find clean chunks at once unless nearly all is dirty; then the rest is taken in order.
  for (let tries = 0; chosen.size < wanted && tries < wanted * 20; tries += 1) {
    const chunk = random(changed.chunkCount);
    if (!changed.has(chunk)) chosen.add(chunk);
  }
  for (let chunk = 0; chosen.size < wanted; chunk += 1) if (!changed.has(chunk)) chosen.add(chunk);
  return [...chosen].sort((a, b) => a - b);
}

/**
 * Compares the sample until something differs; `mismatch` is a chunk that did. What is zero in the parent is read only
 * where the source does not say by itself that it is, so that a sample of a small disk costs what it holds, not what it could.
 */
export async function checkCleanSample(options: {
  readonly source: BlockSource;
  readonly geometry: Geometry;
  readonly parent: MapReader;
  readonly codec: ChunkCodec;
  readonly chunks: readonly number[];
  readonly signal?: AbortSignal | undefined;
}): Promise<CleanSample> {
  const { source, geometry, parent, codec, chunks, signal } = options;
  const buffers = Array.from({ length: sampleLanes }, () => Buffer.allocUnsafeSlow(geometry.chunkBytes));
  let readBytes = 0;
  let mismatch: number | undefined;
  await runLanes({
    jobs: chunks,
    lanes: sampleLanes,
    signal,
    run: async (chunk, lane) => {
      if (mismatch !== undefined) return;
      const into = buffers[lane]!.subarray(0, chunkLengthAt(geometry, chunk));
      const offset = chunk * geometry.chunkBytes;
      const before = await parent.entry(chunk, signal);
      if (before.kind === 'zero' && (await isHole(source, { offset, length: into.length, signal }))) return;
      await source.read({ into, offset, signal });
      readBytes += into.length;
      const same =
        before.kind === 'zero' ? isAllZero(into) : 'id' in before && codec.idOf('data', into).equals(before.id);
      if (!same) mismatch ??= chunk;
    },
  });
  return { readBytes, mismatch };
}

async function isHole(source: BlockSource, range: Parameters<BlockSource['extents']>[0]): Promise<boolean> {
  for await (const { zero } of source.extents(range)) if (!zero) return false;
  return true;
}
