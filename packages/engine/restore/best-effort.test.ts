/** A point that lost something: the rest comes back, and nothing that is missing looks as if it had. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, KiB } from '@holdfast/base';
import { MemoryDisk, type MemoryStore, MemoryTarget } from '@holdfast/testing';
import { asSplit, diskOfNoise, entriesOf, touch } from '../backup/patched-chunks-fixture.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import { locationsOf } from '../map/reference-list.ts';
import { movedKey, type PackKind, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { backupOf, newRepository, restored, through } from '../repository-fixture.ts';
import { restoreDisk } from './restore-disk.ts';

const chunkBytes = 256 * KiB;

/** 300 chunks, so two pages of the map; of content only the first six and the last. The second is patched. */
async function story() {
  const { store, repository } = await newRepository({ chunkBytes, packBytes: 3 * chunkBytes + 64 * KiB });
  const disk = new MemoryDisk(300 * chunkBytes + 500);
  const content = diskOfNoise(6 * chunkBytes);
  const bytes = Buffer.alloc(content.sizeBytes);
  content.read(bytes, 0);
  disk.write(bytes, 0);
  disk.write(bytes.subarray(0, 500), 300 * chunkBytes);
  const { point: parent } = await backupOf(repository, { vda: disk });
  const changed = { vda: touch(disk, [4], 5) };
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed });
  return { store, repository, disk, point };
}

async function spoil(
  store: MemoryStore,
  kind: PackKind,
  { packId, offset, storedBytes }: ChunkLocation,
): Promise<void> {
  const key = packKey({ domain: 'default', kind, packId });
  const bytes = await store.get(key);
  bytes[offset + storedBytes - 1]! ^= 1;
  await store.put(key, { buffers: [bytes] });
}

async function bestEffort(repository: Repository, point: RestorePoint, target: MemoryTarget) {
  return await restoreDisk({ repository, point, target, bestEffort: true });
}

/** Fresh: the disk with zeros where it is lost. In place: with what was there before. */
async function assertLeavesOut(
  repository: Repository,
  { point, disk, lost }: { point: RestorePoint; disk: MemoryDisk; lost: readonly (readonly [number, number])[] },
): Promise<void> {
  await assert.rejects(restored(repository, point), (error) => hasCode(error, 'chunk_corrupt', 'repository_damaged'));
  for (const fresh of [true, false]) {
    const onto = fresh ? new MemoryDisk(disk.sizeBytes) : diskOfNoise(disk.sizeBytes, 99);
    const due = disk.clone();
    for (const [offset, length] of lost) {
      const before = Buffer.alloc(length);
      onto.read(before, offset);
      due.write(before, offset);
    }
    const outcome = await bestEffort(repository, point, new MemoryTarget({ disk: onto, fresh }));
    assert.equal(due.differsFrom(onto), undefined, `fresh: ${fresh}`);
    assert.deepEqual(
      outcome.unreadable.map(({ offset, length }) => [offset, length]),
      lost,
    );
    assert.ok(outcome.unreadable.every(({ reason }) => reason.length > 10));
    const unreadableBytes = lost.reduce((sum, [, length]) => sum + length, 0);
    const { writtenBytes, zeroBytes, keptBytes } = outcome;
    assert.equal(writtenBytes + zeroBytes + keptBytes + unreadableBytes, disk.sizeBytes);
  }
}

test('a whole point restores as ever', async () => {
  const { repository, point, disk } = await story();
  const onto = new MemoryDisk(disk.sizeBytes);
  const { unreadable } = await bestEffort(repository, point, new MemoryTarget({ disk: onto, fresh: true }));
  assert.deepEqual(unreadable, []);
  assert.equal(disk.differsFrom(onto), undefined);
});

test('one rotten chunk is left out, wherever it is needed', async () => {
  const { store, repository, point, disk } = await story();
  const [place] = locationsOf((await entriesOf(repository, point))[3]!) as [ChunkLocation];
  await spoil(store, 'data', place);
  await assertLeavesOut(repository, { point, disk, lost: [[3 * chunkBytes, chunkBytes]] });
});

test('a lost pack, and with it the base of a patch, leave out what needs them', async () => {
  const { store, repository, point, disk } = await story();
  const { base } = asSplit((await entriesOf(repository, point))[1]);
  const places = (await entriesOf(repository, point)).map(locationsOf);
  await store.delete(packKey({ domain: 'default', kind: 'data', packId: base.packId }));
  const lost = places.flatMap((of, chunk) => (of.some(({ packId }) => packId === base.packId) ? [chunk] : []));
  assert.ok(lost.includes(1) && lost.length > 1);
  const runs: [number, number][] = [];
  for (const chunk of lost) {
    const last = runs.at(-1);
    const length = Math.min(chunkBytes, disk.sizeBytes - chunk * chunkBytes);
    if (last && last[0] + last[1] === chunk * chunkBytes) last[1] += length;
    else runs.push([chunk * chunkBytes, length]);
  }
  await assertLeavesOut(repository, { point, disk, lost: runs });
});

test('a lost page of the map leaves out its part of the disk, a lost root all of it', async () => {
  const { store, repository, point, disk } = await story();
  const [root] = point.manifest.roots;
  const page = (await MapReader.open(repository, { root: root! })).pageReference(0);
  await spoil(store, 'meta', locationsOf(page)[0]!);
  await assertLeavesOut(repository, { point, disk, lost: [[0, 256 * chunkBytes]] });
  await spoil(store, 'meta', root!.location);
  const onto = diskOfNoise(disk.sizeBytes, 7);
  const before = onto.sha256();
  const outcome = await bestEffort(repository, point, new MemoryTarget({ disk: onto, fresh: false }));
  assert.deepEqual(
    outcome.unreadable.map(({ offset, length }) => [offset, length]),
    [[0, disk.sizeBytes]],
  );
  assert.equal(onto.sha256(), before);
});

test('content that the target has already is kept, though the storage has lost it', async () => {
  const { store, repository, point, disk } = await story();
  for (const entry of await entriesOf(repository, point)) {
    for (const { packId } of locationsOf(entry))
      await store.delete(packKey({ domain: 'default', kind: 'data', packId }));
  }
  const outcome = await bestEffort(repository, point, new MemoryTarget({ disk: disk.clone(), fresh: false }));
  assert.deepEqual(outcome.unreadable, []);
  assert.ok(outcome.keptBytes > 0);
});

test('a damaged forwarding is a reason as well', async () => {
  const { store, repository, point, disk } = await story();
  const [{ packId }] = locationsOf((await entriesOf(repository, point))[300]!) as [ChunkLocation];
  const places = (await entriesOf(repository, point)).map(locationsOf);
  await store.delete(packKey({ domain: 'default', kind: 'data', packId }));
  await store.put(movedKey({ domain: 'default', packId, number: 1 }), { buffers: [Buffer.from('no record')] });
  const onto = new MemoryDisk(disk.sizeBytes);
  const reader = through(repository, store);
  const outcome = await bestEffort(reader, point, new MemoryTarget({ disk: onto, fresh: true }));
  const lost = places.flatMap((of, chunk) => (of.some((place) => place.packId === packId) ? [chunk] : []));
  const covered = (chunk: number) =>
    outcome.unreadable.some(
      ({ offset, length }) => offset <= chunk * chunkBytes && chunk * chunkBytes < offset + length,
    );
  for (let chunk = 0; chunk <= 300; chunk += 1) assert.equal(covered(chunk), lost.includes(chunk), `chunk ${chunk}`);
  assert.match(outcome.unreadable[0]!.reason, /moved/);
});

test('what is no damage is an error all the same', async () => {
  const { repository, point } = await story();
  const small = new MemoryTarget({ disk: new MemoryDisk(chunkBytes), fresh: true });
  await assert.rejects(bestEffort(repository, point, small), (error) => hasCode(error, 'target_too_small'));
});
