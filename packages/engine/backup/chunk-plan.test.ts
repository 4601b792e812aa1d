import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockExtent, Extent } from '@holdfast/base';
import { MemoryDisk, MemorySource } from '@holdfast/testing';
import fc from 'fast-check';
import { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, type Geometry, geometryOf, minimumChunkBytes } from '../chunk/geometry.ts';
import { planChunks } from './chunk-plan.ts';

const chunk = minimumChunkBytes;

/** A disk whose extents are cut where the test says, also where nothing changes. */
class CutSource extends MemorySource {
  readonly #cuts: readonly { readonly at: number; readonly zero: boolean }[];

  constructor(sizeBytes: number, cuts: readonly { readonly at: number; readonly zero: boolean }[]) {
    super({ disk: new MemoryDisk(sizeBytes) });
    this.#cuts = cuts;
  }

  override async *extents({ offset, length }: Extent): AsyncGenerator<BlockExtent> {
    for (const [index, { at, zero }] of this.#cuts.entries()) {
      const start = Math.max(offset, at);
      const end = Math.min(offset + length, this.#cuts[index + 1]?.at ?? this.sizeBytes);
      if (end > start) yield { offset: start, length: end - start, zero };
    }
  }

  /** Whether all of a range lies in zero extents. */
  isZero(offset: number, length: number): boolean {
    return this.#cuts.every(
      ({ at, zero }, index) => zero || at >= offset + length || (this.#cuts[index + 1]?.at ?? this.sizeBytes) <= offset,
    );
  }
}

const disk = fc
  .record({
    sizeBytes: fc.integer({ min: 1, max: 40 * chunk }),
    cuts: fc.array(
      fc.record({
        at: fc.oneof(
          fc.nat(40 * chunk),
          fc.nat(40).map((number) => number * chunk),
        ),
        zero: fc.boolean(),
      }),
      { maxLength: 12 },
    ),
    changed: fc.option(fc.uniqueArray(fc.nat(39)), { freq: 3 }),
  })
  .map(({ sizeBytes, cuts, changed }) => {
    const inside = cuts.filter(({ at }) => at > 0 && at < sizeBytes).sort((left, right) => left.at - right.at);
    const distinct = inside.filter(({ at }, index) => at !== inside[index - 1]?.at);
    const geometry = geometryOf({ sizeBytes, chunkBytes: chunk });
    return { geometry, cuts: [{ at: 0, zero: cuts[0]?.zero ?? false }, ...distinct], changed };
  });

function setOf(geometry: Geometry, chunks: readonly number[]): ChunkSet {
  const set = new ChunkSet(geometry.chunkCount);
  for (const one of chunks) if (one < geometry.chunkCount) set.add(one);
  return set;
}

test('every chunk asked for is planned once, in order; zero only where extents say so, and always in long runs', async () => {
  const property = fc.asyncProperty(disk, async ({ geometry, cuts, changed: changedChunks }) => {
    const source = new CutSource(geometry.sizeBytes, cuts);
    const changed = changedChunks ? setOf(geometry, changedChunks) : undefined;
    const tasks = await Array.fromAsync(planChunks({ source, geometry, changed }));
    const wanted = Array.from({ length: geometry.chunkCount }, (_, number) => number).filter(
      (number) => changed?.has(number) ?? true,
    );
    assert.deepEqual(
      tasks.map((task) => task.chunk),
      wanted,
    );
    for (const { chunk: number, zero } of tasks) {
      const isZero = source.isZero(number * chunk, chunkLengthAt(geometry, number));
      if (zero) assert.ok(isZero, `chunk ${number} is not zero`);
      else if (runLengthAround(number, geometry, changed) >= 8) assert.ok(!isZero, `chunk ${number} is zero`);
    }
  });
  await fc.assert(property, { numRuns: 500 });
});

/** How many chunks around this one are asked for without a gap. */
function runLengthAround(number: number, geometry: Geometry, changed: ChunkSet | undefined): number {
  if (!changed) return Number.POSITIVE_INFINITY;
  let [from, to] = [number, number + 1];
  while (from > 0 && changed.has(from - 1)) from -= 1;
  while (to < geometry.chunkCount && changed.has(to)) to += 1;
  return to - from;
}

test('a disk of no bytes needs nothing', async () => {
  const geometry = geometryOf({ sizeBytes: 0, chunkBytes: chunk });
  const source = new MemorySource({ disk: new MemoryDisk(0) });
  assert.deepEqual(await Array.fromAsync(planChunks({ source, geometry })), []);
});

test('short changed runs are not asked for their extents, long ones are once each', async () => {
  const geometry = geometryOf({ sizeBytes: 100 * chunk, chunkBytes: chunk });
  const source = new MemorySource({ disk: new MemoryDisk(geometry.sizeBytes) });
  const changed = new ChunkSet(geometry.chunkCount);
  for (const [from, length] of [
    [0, 7],
    [10, 8],
    [50, 30],
    [99, 1],
  ] as const) {
    changed.addTouched({ offset: from * chunk, length: length * chunk }, geometry);
  }
  const tasks = await Array.fromAsync(planChunks({ source, geometry, changed }));
  assert.equal(source.extentCalls, 2);
  assert.equal(tasks.filter(({ zero }) => zero).length, 38);
});
