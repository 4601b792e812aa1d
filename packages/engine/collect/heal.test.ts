/** What rots or goes missing, and comes back with a later backup: older points are whole again, and flags clear. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, KiB } from '@holdfast/base';
import { faultyStore, type MemoryDisk, type MemoryStore } from '@holdfast/testing';
import { asSplit, diskOfNoise, entriesOf, kindsOf, touch } from '../backup/patched-chunks-fixture.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import { locationsOf } from '../map/reference-list.ts';
import { movePack } from '../pack/forwarding-fixture.ts';
import { epochKey, movedPrefix, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, backupOf, newRepository, restored, through } from '../repository-fixture.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { assertClean, verifyRepository } from '../verify/verify-repository.ts';
import { collect } from './collect.ts';
import { compact } from './compact.ts';
import { putEpoch } from './epochs.ts';
import { heal } from './heal.ts';
import { suspended } from './suspended-fixture.ts';

const chunkBytes = 256 * KiB;
const subChunks = 4;

type Kept = { readonly point: RestorePoint; readonly disk: MemoryDisk };
type Story = { readonly store: MemoryStore; readonly repository: Repository; readonly kept: readonly Kept[] };

/** Three points of six chunks, three chunks a pack: whole; the second chunk patched; the same patched anew. */
async function story(): Promise<Story> {
  const { store, repository } = await newRepository({ chunkBytes, packBytes: 3 * chunkBytes + 64 * KiB });
  const disk = diskOfNoise(6 * chunkBytes);
  let { point } = await backupOf(repository, { vda: disk });
  const kept: Kept[] = [{ point, disk: disk.clone() }];
  for (const seed of [5, 6]) {
    const changed = { vda: touch(disk, [subChunks], seed) };
    ({ point } = await backupOf(repository, { vda: disk }, { parent: point, changed }));
    kept.push({ point, disk: disk.clone() });
  }
  assert.deepEqual((await kindsOf(repository, point)).slice(0, 3), ['data', 'split', 'data']);
  return { store, repository, kept };
}

async function rot(store: MemoryStore, place: ChunkLocation): Promise<void> {
  const key = packKey({ domain: 'default', kind: 'data', packId: place.packId });
  const bytes = await store.get(key);
  bytes[place.offset + place.storedBytes - 1]! ^= 1;
  await store.put(key, { buffers: [bytes] });
}

async function placesOf(repository: Repository, point: RestorePoint, chunk: number): Promise<readonly ChunkLocation[]> {
  return locationsOf((await entriesOf(repository, point))[chunk]!);
}

async function okOf(repository: Repository): Promise<readonly boolean[]> {
  return (await verifyRepository({ repository, scope: 'scrub' })).points.map(({ ok }) => ok);
}

async function assertLost(repository: Repository, point: RestorePoint): Promise<void> {
  await assert.rejects(restored(repository, point), (error) => hasCode(error, 'chunk_corrupt'));
}

async function assertHealed(repository: Repository, kept: readonly Kept[]): Promise<void> {
  for (const { point, disk } of kept) await assertRestores(repository, point, { vda: disk });
  for (const scope of ['presence', 'scrub'] as const) {
    const report = await verifyRepository({ repository, scope });
    assertClean(report);
    assert.ok(report.points.every(({ ok }) => ok));
  }
}

for (const kind of ['increment', 'full'] as const) {
  test(`a chunk that rotted comes back with the next ${kind}, though nothing changed, and heals every point`, async () => {
    const { store, repository, kept } = await story();
    const { point: parent, disk } = kept[2]!;
    const [place] = (await placesOf(repository, parent, 3)) as [ChunkLocation];
    await rot(store, place);
    assert.deepEqual(await okOf(repository), [false, false, false]);
    assert.deepEqual(await heal({ repository }), {
      lostChunks: 1,
      healedChunks: 0,
      concernedPoints: kept.map(({ point }) => point.manifest.id),
    });
    const { point } = await backupOf(
      repository,
      { vda: disk },
      { parent, ...(kind === 'increment' && { changed: { vda: [] } }) },
    );
    const { new_chunks } = point.manifest.disks[0]!.counters;
    assert.equal(new_chunks, 1, 'exactly what was lost is stored again');
    const [now] = (await placesOf(repository, point, 3)) as [ChunkLocation];
    assert.notDeepEqual(now, place);
    const fresh = through(repository, store);
    await assertRestores(fresh, point, { vda: disk });
    await assertLost(fresh, kept[0]!.point);
    assert.equal((await heal({ repository })).healedChunks, 1);
    assert.equal((await heal({ repository })).lostChunks, 0, 'there is nothing left to do');
    // Whoever listed the forwardings before, and who does so now.
    for (const reader of [repository, through(repository, store)]) {
      await assertHealed(reader, [...kept, { point, disk }]);
    }
  });
}

test('a whole pack that was lost comes back chunk by chunk', async () => {
  const { store, repository, kept } = await story();
  // Which chunks share a pack differs from run to run; of the first point alone, every one is still on the disk.
  const { point: parent, disk } = kept[0]!;
  for (const { point } of kept.slice(1)) await store.delete(point.key);
  const [{ packId }] = (await placesOf(repository, parent, 3)) as [ChunkLocation];
  await store.delete(packKey({ domain: 'default', kind: 'data', packId }));
  assert.deepEqual(await okOf(repository), [false]);
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  const report = await heal({ repository });
  assert.equal(report.healedChunks, report.lostChunks);
  assert.equal(report.healedChunks, 3);
  const both = [kept[0]!, { point, disk }];
  const fresh = through(repository, store);
  for (const one of both) await assertRestores(fresh, one.point, { vda: one.disk });
  assert.deepEqual(await okOf(fresh), [true, true]);
  await collect({ repository: fresh });
  await assertHealed(through(repository, store), both);
});

test('rot in a base of patches: a backup that brings the patched chunk again heals the points that show it', async () => {
  const { store, repository, kept } = await story();
  const { point: parent, disk } = kept[2]!;
  const { base } = asSplit((await entriesOf(repository, parent))[1]);
  await rot(store, base);
  assert.deepEqual(await okOf(repository), [false, false, false]);
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  assert.deepEqual(
    (await kindsOf(repository, point)).slice(0, 3),
    ['data', 'data', 'data'],
    'whole, not a patch of rot',
  );
  assert.equal((await heal({ repository })).healedChunks, 1);
  const fresh = through(repository, store);
  await assertRestores(fresh, parent, { vda: disk });
  await assertLost(fresh, kept[0]!.point);
  await assertLost(fresh, kept[1]!.point);
  assert.deepEqual(await okOf(fresh), [false, false, true, true]);
  // What the base was comes back too: the disk is rolled back to the first point.
  const before = kept[0]!.disk;
  // Read in part only: what differs from the point before is 64 KiB.
  const extent = { offset: chunkBytes, length: 64 * KiB };
  const back = await backupOf(fresh, { vda: before }, { parent: point, changed: { vda: [extent] } });
  assert.equal((await heal({ repository: fresh })).healedChunks, 1);
  const all = [...kept, { point, disk }, { point: back.point, disk: before }];
  await assertHealed(through(repository, store), all);
  // And stays so when what is left of the rotten pack goes.
  await compact({ repository: fresh, thresholdPercent: 100 });
  await collect({ repository: fresh });
  await assertHealed(through(repository, store), all);
});

test('rot in a patch: the chunk is stored whole, in its place', async () => {
  const { store, repository, kept } = await story();
  const { point: parent, disk } = kept[2]!;
  const { patch } = asSplit((await entriesOf(repository, parent))[1]);
  await rot(store, patch);
  assert.deepEqual(await okOf(repository), [true, true, false]);
  const { point } = await backupOf(
    repository,
    { vda: disk },
    { parent, changed: { vda: touch(disk.clone(), [0], 9) } },
  );
  assert.equal((await kindsOf(repository, point))[1], 'data');
  assert.equal((await heal({ repository })).healedChunks, 1);
  await assertHealed(through(repository, store), [...kept, { point, disk }]);
});

test('content that moved after it was healed is followed', async () => {
  const { store, repository, kept } = await story();
  const { point: parent, disk } = kept[2]!;
  const [place] = (await placesOf(repository, parent, 3)) as [ChunkLocation];
  await rot(store, place);
  await okOf(repository);
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  await heal({ repository });
  await store.delete(kept[1]!.point.key);
  const rest = [kept[0]!, kept[2]!, { point, disk }];
  for (let round = 0; round < 2; round += 1) {
    const fresh = through(repository, store);
    await compact({ repository: fresh, thresholdPercent: 100 });
    await collect({ repository: fresh });
    for (const one of rest) await assertRestores(through(repository, store), one.point, { vda: one.disk });
  }
});

test('no new point refers to what is in quarantine, whoever has the content and however it is backed up', async () => {
  const { store, repository, kept } = await story();
  const { disk } = kept[2]!;
  const places = (await entriesOf(repository, kept[2]!.point)).flatMap(locationsOf);
  const lost = new Set(places.filter((_, index) => index % 2 === 0).map(({ packId, slot }) => `${packId}.${slot}`));
  for (const place of places) if (lost.has(`${place.packId}.${place.slot}`)) await rot(store, place);
  await okOf(repository);
  const changed = disk.clone();
  const extents = touch(changed, [0, 9, 23], 40);
  for (const options of [
    { resource: 'volumes/b' },
    { parent: kept[2]!.point },
    { parent: kept[2]!.point, changed: { vda: extents } },
    { parent: kept[0]!.point, changed: { vda: [{ offset: 0, length: disk.sizeBytes }] } },
  ]) {
    const fresh = through(repository, store.clone());
    const { point } = await backupOf(fresh, { vda: changed }, options);
    const used = (await entriesOf(fresh, point)).flatMap(locationsOf);
    assert.ok(used.every(({ packId, slot }) => !lost.has(`${packId}.${slot}`)));
    await assertRestores(fresh, point, { vda: changed });
  }
});

test('a map in quarantine is not carried on: everything is read, and the series begins anew', async () => {
  const { store, repository, kept } = await story();
  const { point: parent, disk } = kept[2]!;
  const page = (await MapReader.open(repository, { root: parent.manifest.roots[0]! })).pageReference(0);
  const [{ packId, offset }] = locationsOf(page) as [ChunkLocation];
  const key = packKey({ domain: 'default', kind: 'meta', packId });
  const bytes = await store.get(key);
  // An increment without changes would not read the page: only the quarantine tells.
  bytes[offset + 100]! ^= 1;
  await store.put(key, { buffers: [bytes] });
  assert.equal((await okOf(repository))[2], false);
  const { point, warnings } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  assert.match(warnings.join(), /is damaged/);
  assert.notEqual(point.manifest.series, parent.manifest.series);
  await assertRestores(repository, point, { vda: disk });
  const verdict = (await verifyRepository({ repository, scope: 'scrub' })).points.find(
    ({ pointId }) => pointId === point.manifest.id,
  );
  assert.equal(verdict?.ok, true);
});

/** A story whose fourth chunk has rotted, and that a later backup has stored again. */
async function storedAgain() {
  const made = await story();
  const { store, repository, kept } = made;
  const { point: parent, disk } = kept[2]!;
  await rot(store, (await placesOf(repository, parent, 3))[0]!);
  await okOf(repository);
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  const [now] = (await placesOf(repository, point, 3)) as [ChunkLocation];
  return { ...made, now, all: [...kept, { point, disk }] };
}

test('a healing that was fenced before it forwarded anything heals nothing, however late that lands', async () => {
  const { store, repository, all } = await storedAgain();
  const late = suspended(
    repository,
    ({ verb, key }) => verb === 'put' && key.startsWith(movedPrefix('default')),
    async () => {
      for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
    },
  );
  await assert.rejects(heal({ repository: late }), (error) => hasCode(error, 'session_fenced'));
  assert.ok([...store.objects().keys()].some((key) => key.startsWith(movedPrefix('default'))));
  await assertLost(through(repository, store), all[0]!.point);
  assert.equal((await heal({ repository })).healedChunks, 1);
  await assertHealed(through(repository, store), all);
});

test('nothing is forwarded to where it is about to be collected', async () => {
  const { store, repository, now, all } = await storedAgain();
  // The index knows the place before; the one it leads to was condemned before the healing begins.
  const moves = await movePack(repository, { packId: now.packId, kind: 'data' });
  const pack = moves.get(now.slot)!.packId;
  const packs = [{ domain: 'default', pack, kind: 'data', moved: false }] as const;
  const { name } = await putEpoch(repository, { before: [], packs });
  assert.equal((await heal({ repository })).healedChunks, 0);
  await store.delete(epochKey(name, 'condemned'));
  assert.equal((await heal({ repository })).healedChunks, 1);
  await assertHealed(through(repository, store), all);
});

for (const when of ['before', 'partial', 'after'] as const) {
  test(`healing that dies at any storage call costs nothing; the next one goes on (${when})`, async () => {
    const { store: start, repository, kept } = await story();
    const { point: parent, disk } = kept[2]!;
    for (const chunk of [3, 5]) await rot(start, (await placesOf(repository, parent, chunk))[0]!);
    await okOf(repository);
    const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
    const all = [...kept, { point, disk }];
    for (let call = 1; ; call += 1) {
      const store = start.clone();
      const dying = faultyStore({
        store,
        script: (request) => (request.call === call ? { kind: 'crash', when } : undefined),
      });
      await heal({ repository: through(repository, dying) }).catch(() => undefined);
      const survivor = through(repository, store);
      await assertRestores(survivor, point, { vda: disk });
      for (const { id } of await listSessions(survivor)) await fenceSession(survivor, id);
      await heal({ repository: survivor });
      for (const one of all) await assertRestores(through(repository, store), one.point, { vda: one.disk });
      if (!dying.crashed) {
        assert.ok(call > 10, `only ${call} calls`);
        assert.ok([...store.objects().keys()].some((key) => key.startsWith(movedPrefix('default'))));
        break;
      }
    }
  });
}

test('a healed chunk is not lost with a pack that is collected because it was moved', async () => {
  const { store, repository, kept } = await story();
  const { point: parent, disk } = kept[0]!;
  for (const { point } of kept.slice(1)) await store.delete(point.key);
  // All that is in one pack rots; a later backup brings it again, and it all is forwarded.
  const places = (await entriesOf(repository, kept[0]!.point)).flatMap(locationsOf);
  const { packId } = places[3]!;
  for (const place of places) if (place.packId === packId) await rot(store, place);
  await okOf(repository);
  const { point } = await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } });
  await heal({ repository });
  const fresh = through(repository, store);
  await collect({ repository: fresh });
  assert.ok(!store.objects().has(packKey({ domain: 'default', kind: 'data', packId })), 'the rotten pack is gone');
  await assertHealed(through(repository, store), [kept[0]!, { point, disk }]);
});
