/** Whatever happens to a disk between backups, every point gives back exactly what was there when it was made: the proof. */
import assert from 'node:assert/strict';
import type { Extent } from '@holdfast/base';
import { applyChange, type DiskChange, MemoryDisk, MemoryTarget, seededRandom } from '@holdfast/testing';
import fc from 'fast-check';
import { hashAlgorithms } from '../chunk/hash.ts';
import type { RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  countedUses,
  newRepository,
  smallChunkBytes,
  tableUses,
} from '../repository-fixture.ts';
import { restoreDisk } from '../restore/restore-disk.ts';
import { openPointDisk } from '../serve/point-disk.ts';

const chunk = smallChunkBytes;

const sizeBytes = fc.oneof(
  fc.constantFrom(0, 1, chunk - 1, chunk, chunk + 1, 256 * chunk - 1, 256 * chunk, 256 * chunk + 1, 257 * chunk + 7),
  fc.integer({ min: 0, max: 12 * chunk }),
  fc.integer({ min: 250, max: 262 }).map((chunks) => chunks * chunk),
);

/** A place as shares of the disk, so that it means something at every size; both ends often lie on the grid. */
const place = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(
    fc.integer({ min: 1, max: 4 * chunk }),
    fc.integer({ min: 1, max: 6 }).map((count) => count * chunk),
  ),
  onGrid: fc.boolean(),
});
type Place = { readonly at: number; readonly length: number; readonly onGrid: boolean };

const change = fc.record({
  place,
  kind: fc.constantFrom('noise', 'text', 'hole', 'zeros', 'copy', 'flip'),
  seed: fc.integer({ min: 0, max: 5 }),
  from: fc.double({ min: 0, max: 1, noNaN: true }),
} as const);
type Change = {
  readonly place: Place;
  readonly kind: DiskChange['kind'];
  readonly seed: number;
  readonly from: number;
};

const step = fc.record({
  changes: fc.array(change, { maxLength: 5 }),
  /** Said to be changed although nothing happened there. */
  falsely: fc.array(place, { maxLength: 3 }),
  resizeTo: fc.option(sizeBytes, { freq: 4 }),
  knows: fc.constantFrom('changes', 'changes', 'parent', 'nothing'),
  /** Which of the points before is the parent, counted back from the newest. */
  back: fc.constantFrom(0, 0, 0, 1, 2),
  tellsHoles: fc.boolean(),
} as const);

const history = fc.record({
  size: sizeBytes,
  /** Chunks of four sub-chunks and more are patched where little of them changed. */
  chunkBytes: fc.constantFrom(chunk, 2 * chunk, 4 * chunk, 16 * chunk),
  packBytes: fc.constantFrom(chunk, 3 * chunk, 32 * 1024 * 1024),
  hash: fc.constantFrom(...hashAlgorithms),
  encrypted: fc.boolean(),
  steps: fc.array(step, { minLength: 1, maxLength: 5 }),
  seed: fc.nat(),
});

type Kept = { readonly point: RestorePoint; readonly disk: MemoryDisk };

/**
 * Random histories of a disk: every point restores what its disk was, fresh, in place and by reading; its pack table
 * counts what its maps use; the repository verifies.
 */
export async function assertHistories(options: { readonly numRuns: number }): Promise<void> {
  const property = fc.asyncProperty(history, async ({ size, steps, seed, ...format }) => {
    const { repository } = await newRepository(format);
    const disk = new MemoryDisk(size);
    const kept: Kept[] = [];
    /** What changed before each point since the one before it. */
    const changedSince: Extent[][] = [];
    for (const { changes, falsely, resizeTo, knows, back, tellsHoles } of steps) {
      const sizeBefore = disk.sizeBytes;
      if (resizeTo !== null && kept.length > 0) disk.resize(resizeTo);
      const changed = [...changes, ...falsely.map((one) => ({ place: one }))].map((one) => extentOf(one.place, disk));
      for (const one of changes) applyChange(disk, asDiskChange(one, disk));
      // What was cut off is zero if the disk grows again: a change like any other.
      const cutOff = { offset: disk.sizeBytes, length: Math.max(0, sizeBefore - disk.sizeBytes) };
      changedSince.push([...changed, cutOff]);
      const parentAt = knows === 'nothing' ? -1 : kept.length - 1 - Math.min(back, kept.length - 1);
      const parent = kept[parentAt]?.point;
      const known = changedSince
        .slice(parentAt + 1)
        .flat()
        .flatMap((extent) => inside(extent, disk));
      const { point } = await backupOf(
        repository,
        { vda: disk },
        {
          tellsHoles,
          parent,
          ...(knows === 'changes' && { changed: { vda: known } }),
        },
      );
      assertLineage({ point, parent, kept, knowsChanges: knows === 'changes' });
      kept.push({ point, disk: disk.clone() });
    }
    for (const one of kept) {
      await assertRestores(repository, one.point, { vda: one.disk });
      await assertRestoresInPlace(repository, one, seed);
      await assertReads(repository, one, seed);
      assert.deepEqual(await tableUses(repository, one.point), await countedUses(repository, one.point));
    }
    await assertVerifies(repository);
  });
  await fc.assert(property, { numRuns: options.numRuns });
}

function extentOf({ at, length, onGrid }: Place, disk: MemoryDisk): Extent {
  const exact = Math.floor(at * Math.max(0, disk.sizeBytes - 1));
  const offset = onGrid ? exact - (exact % chunk) : exact;
  return { offset, length: Math.min(length, disk.sizeBytes - offset) };
}

function asDiskChange({ place, kind, seed, from }: Change, disk: MemoryDisk): DiskChange {
  const extent = extentOf(place, disk);
  return { ...extent, kind, seed, from: extentOf({ ...place, at: from }, disk).offset };
}

/** What is left of an extent on a disk that may have shrunk since. */
function inside({ offset, length }: Extent, disk: MemoryDisk): readonly Extent[] {
  return offset > disk.sizeBytes ? [] : [{ offset, length: Math.min(length, disk.sizeBytes - offset) }];
}

function assertLineage(request: {
  readonly point: RestorePoint;
  readonly parent: RestorePoint | undefined;
  readonly kept: readonly Kept[];
  readonly knowsChanges: boolean;
}): void {
  const { point, parent, kept, knowsChanges } = request;
  const { manifest } = point;
  const series = kept.filter((other) => other.point.manifest.series === manifest.series);
  assert.equal(manifest.increment_id, series.length + 1);
  assert.equal(manifest.parent, parent?.manifest.id ?? null);
  assert.equal(manifest.requested, parent ? 'incremental' : 'full');
  assert.equal(manifest.actual, parent && knowsChanges ? 'incremental' : 'full');
  if (parent) assert.equal(manifest.series, parent.manifest.series);
  else assert.equal(series.length, 0, 'without a parent a new series begins');
  const [described] = manifest.disks;
  assert.equal(described!.fallback_reason === null, !parent || knowsChanges);
  const { counters, size_bytes, chunk_bytes } = described!;
  const settled = counters.zero_chunks + counters.unchanged_chunks + counters.deduplicated_chunks + counters.new_chunks;
  assert.equal(settled, Math.ceil(size_bytes / chunk_bytes), 'every chunk is counted once');
}

/** Onto what the disk was with some of it spoilt, in a target that is larger: only chunks that differ are written. */
async function assertRestoresInPlace(repository: Repository, { point, disk }: Kept, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const { chunk_bytes: chunkBytes } = point.manifest.disks[0]!;
  const old = disk.clone();
  old.resize(disk.sizeBytes + 1000);
  for (let index = 0; index < 4; index += 1) {
    const offset = Math.floor(random() * old.sizeBytes);
    const kind = random() < 0.3 ? 'hole' : 'noise';
    applyChange(old, { kind, seed: seed + index, offset, length: Math.ceil(random() * 2 * chunkBytes) });
  }
  const tail = readAll(old).subarray(disk.sizeBytes);
  const due = { writtenBytes: 0, zeroedBytes: 0 };
  const [want, have] = [readAll(disk), readAll(old)];
  for (let offset = 0; offset < disk.sizeBytes; offset += chunkBytes) {
    const wanted = want.subarray(offset, offset + chunkBytes);
    if (wanted.equals(have.subarray(offset, offset + wanted.length))) continue;
    due[wanted.every((byte) => byte === 0) ? 'zeroedBytes' : 'writtenBytes'] += wanted.length;
  }
  const target = new MemoryTarget({ disk: old, fresh: false });
  const outcome = await restoreDisk({ repository, point, target });
  assert.ok(target.isFlushed);
  assert.deepEqual({ writtenBytes: target.writtenBytes, zeroedBytes: target.zeroedBytes }, due);
  assert.equal(outcome.writtenBytes + outcome.zeroBytes + outcome.keptBytes, disk.sizeBytes);
  assert.ok(readAll(old).equals(Buffer.concat([want, tail])));
}

async function assertReads(repository: Repository, { point, disk }: Kept, seed: number): Promise<void> {
  const random = seededRandom(seed);
  await using source = await openPointDisk({ repository, point, cacheBytes: 4 * chunk });
  assert.equal(source.sizeBytes, disk.sizeBytes);
  for (let index = 0; index < 8; index += 1) {
    const offset = Math.floor(random() * disk.sizeBytes);
    const length = Math.min(disk.sizeBytes - offset, Math.floor(random() * 3 * chunk));
    const [into, due] = [Buffer.alloc(length, 1), Buffer.alloc(length)];
    await source.read({ into, offset });
    disk.read(due, offset);
    assert.ok(into.equals(due), `${length} bytes at ${offset}`);
  }
  const whole = readAll(disk);
  const offset = Math.floor(random() * disk.sizeBytes);
  let at = offset;
  for await (const extent of source.extents({ offset, length: disk.sizeBytes - offset })) {
    assert.equal(extent.offset, at);
    at += extent.length;
    const isZero = whole.subarray(extent.offset, at).every((byte) => byte === 0);
    if (extent.zero) assert.ok(isZero);
    // Chunks of data are whole or at the edge of the range, so zeros in them are the exception.
    else if (extent.offset % point.manifest.disks[0]!.chunk_bytes === 0 && at < disk.sizeBytes) assert.ok(!isZero);
  }
  assert.equal(at, disk.sizeBytes);
}

function readAll(disk: MemoryDisk): Buffer {
  const whole = Buffer.alloc(disk.sizeBytes);
  disk.read(whole, 0);
  return whole;
}
