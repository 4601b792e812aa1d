/**
 * The guard against a dirty bitmap that lies: of the chunks it calls clean, a sample is read and compared with the
 * parent. One mismatch and the bitmap is not believed.
 */
import { randomInt } from 'node:crypto';
import { type BlockSource, runLanes } from '@holdfast/base';
import type { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, type Geometry } from '../chunk/geometry.ts';
import { isAllZero } from '../chunk/zero.ts';
import type { ChunkCodec } from '../codec/chunk-codec.ts';
import type { MapReader } from '../map/map-reader.ts';

const sampleShare = 0.001;
const minimumSample = 16;
/** Reads in flight: a map page and a chunk each. */
const sampleLanes = 4;

export type CleanSample = { readonly readBytes: number; readonly mismatch: number | undefined };

/** Chunk numbers in ascending order, without doubles, none of them in `changed`. */
export function chooseCleanSample(
  changed: ChunkSet,
  random: (below: number) => number = (below) => randomInt(below),
): number[] {
  const cleanCount = changed.chunkCount - changed.size;
  const wanted = Math.min(cleanCount, Math.max(minimumSample, Math.ceil(cleanCount * sampleShare)));
  const chosen = new Set<number>();
  // Random probes find clean chunks at once unless nearly all is dirty; then the rest is taken in order.
  for (let tries = 0; chosen.size < wanted && tries < wanted * 20; tries += 1) {
    const chunk = random(changed.chunkCount);
    if (!changed.has(chunk)) chosen.add(chunk);
  }
  for (let chunk = 0; chosen.size < wanted; chunk += 1) if (!changed.has(chunk)) chosen.add(chunk);
  return [...chosen].sort((a, b) => a - b);
}

/** Reads the sample until something differs; `mismatch` is a chunk that did. */
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
      const [before] = await Promise.all([
        parent.entry(chunk, signal),
        source.read({ into, offset: chunk * geometry.chunkBytes, signal }),
      ]);
      readBytes += into.length;
      const same =
        before.kind === 'zero' ? isAllZero(into) : 'id' in before && codec.idOf('data', into).equals(before.id);
      if (!same) mismatch ??= chunk;
    },
  });
  return { readBytes, mismatch };
}
