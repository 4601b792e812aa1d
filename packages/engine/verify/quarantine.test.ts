/** What verify remembers: quarantine, flags, and which packs were read when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { fakeClock, faultyStore, MemoryDisk, type MemoryStore, noise } from '@holdfast/testing';
import { movePack, packsOf } from '../pack/forwarding-fixture.ts';
import { Quarantine } from '../pack/quarantine.ts';
import { packKey, quarantineKey, quarantinePrefix, scrubPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { backupOf, newRepository, smallChunkBytes, through } from '../repository-fixture.ts';
import { assertClean, verifyRepository } from './verify-repository.ts';

const chunk = smallChunkBytes;
const hourMs = 3_600_000;

/** Two volumes with nothing in common, in packs of three chunks. */
async function story() {
  const { store, repository: opened } = await newRepository({ packBytes: 4 * chunk });
  const clock = fakeClock();
  const repository: Repository = { ...opened, clock };
  const disks = [1, 2].map((seed) => {
    const disk = new MemoryDisk(9 * chunk);
    disk.write(noise({ seed, length: 9 * chunk }), 0);
    return disk;
  });
  const a = await backupOf(repository, { vda: disks[0]! }, { resource: 'volumes/a' });
  const packsOfA = packsOf(store, 'data');
  await clock.advance(1000);
  const b = await backupOf(repository, { vda: disks[1]! }, { resource: 'volumes/b' });
  return { store, repository, clock, a: a.point, b: b.point, packsOfA };
}

function keysBelow(store: MemoryStore, prefix: string): string[] {
  return [...store.objects().keys()].filter((key) => key.startsWith(prefix));
}

async function okOf(repository: Repository, scope: 'presence' | 'scrub'): Promise<readonly boolean[]> {
  return (await verifyRepository({ repository, scope })).points.map(({ ok }) => ok);
}

test('what is damaged goes into quarantine once and flags its points until it was read good again', async () => {
  const { store, repository, packsOfA } = await story();
  const key = packKey({ domain: 'default', kind: 'data', packId: packsOfA[0]! });
  const whole = await store.get(key);
  const damaged = Buffer.from(whole);
  damaged[500]! ^= 1;
  await store.put(key, { buffers: [damaged] });
  assert.deepEqual(await okOf(repository, 'presence'), [true, true], 'presence reads nothing');
  for (let run = 0; run < 2; run += 1) assert.deepEqual(await okOf(repository, 'scrub'), [false, true]);
  assert.equal(keysBelow(store, quarantinePrefix('default')).length, 1);
  const quarantine = await Quarantine.read(repository);
  assert.ok(quarantine.has({ packId: packsOfA[0]!, slot: 0 }));
  assert.ok(!quarantine.has({ packId: packsOfA[0]!, slot: 1 }));
  assert.deepEqual(await okOf(repository, 'presence'), [false, true], 'the flag stands');
  await store.put(key, { buffers: [whole] });
  assert.deepEqual(await okOf(repository, 'presence'), [false, true], 'nobody has read it yet');
  assert.deepEqual(await okOf(repository, 'scrub'), [true, true]);
  assert.deepEqual(keysBelow(store, quarantinePrefix('default')), []);
});

test('a pack that went missing and comes back is simply good again', async () => {
  for (const kind of ['data', 'meta'] as const) {
    for (const scope of ['presence', 'scrub'] as const) {
      const { store, repository, packsOfA, a } = await story();
      const packId = kind === 'data' ? packsOfA[1]! : a.manifest.roots[0]!.location.packId;
      const key = packKey({ domain: 'default', kind, packId });
      const whole = await store.get(key);
      await store.delete(key);
      const report = await verifyRepository({ repository, scope });
      assert.deepEqual(
        report.points.map(({ ok }) => ok),
        [false, true],
      );
      assert.match(report.points[0]!.problems.join(), /is missing/);
      if (kind === 'data') assert.ok((await Quarantine.read(repository)).wasMissing(packId));
      assert.throws(
        () => assertClean(report),
        (error) => hasCode(error, 'chunk_corrupt'),
      );
      await store.put(key, { buffers: [whole] });
      assert.deepEqual(await okOf(repository, scope), [true, true]);
      assert.ok((await Quarantine.read(repository)).isEmpty);
    }
  }
});

test('packs that were moved are not missing, and are scrubbed where they are now', async () => {
  const { store, repository, packsOfA } = await story();
  const moves = await movePack(repository, { packId: packsOfA[0]!, kind: 'data' });
  for (const scope of ['presence', 'scrub'] as const) {
    const report = await verifyRepository({ repository, scope });
    assertClean(report);
    assert.equal(report.packs.missing, 0);
  }
  const to = moves.get(0)!;
  const key = packKey({ domain: 'default', kind: 'data', packId: to.packId });
  const damaged = await store.get(key);
  damaged[to.offset + to.storedBytes - 1]! ^= 1;
  await store.put(key, { buffers: [damaged] });
  assert.deepEqual(await okOf(repository, 'scrub'), [false, true]);
  await store.delete(key);
  assert.deepEqual(await okOf(through(repository, store), 'presence'), [false, true]);
});

test('a quarantine that cannot be read holds back its pack', async () => {
  const { store, repository, packsOfA } = await story();
  const key = quarantineKey({ domain: 'default', packId: packsOfA[0]!, random: 'ab' });
  await store.put(key, { buffers: [Buffer.from('nothing of ours')] });
  assert.ok((await Quarantine.read(repository)).has({ packId: packsOfA[0]!, slot: 7 }));
  assert.deepEqual(await okOf(repository, 'presence'), [false, true]);
  assert.deepEqual(await okOf(repository, 'scrub'), [true, true]);
  assert.deepEqual(keysBelow(store, quarantinePrefix('default')), []);
});

test('packs read lately are left out, the others come least recently read first', async () => {
  const { store, repository, clock } = await story();
  const all = (await verifyRepository({ repository, scope: 'scrub', resource: 'volumes/a' })).packs.checked;
  await clock.advance(2 * hourMs);
  const rest = await verifyRepository({ repository, scope: 'scrub', maxAgeMs: 3 * hourMs });
  assert.deepEqual([rest.packs.young, rest.packs.left], [all, 0]);
  assert.ok(rest.packs.checked > 0);
  assert.ok(rest.points.every(({ ok, checked }) => ok && checked));
  const none = await verifyRepository({ repository, scope: 'scrub', maxAgeMs: 3 * hourMs });
  assert.deepEqual([none.packs.checked, none.checkedBytes], [0, 0]);
  // By now the first ones are due again.
  await clock.advance(2 * hourMs);
  const again = await verifyRepository({ repository, scope: 'scrub', maxAgeMs: 3 * hourMs });
  assert.equal(again.packs.checked, all);
  // Two lanes go through the queue in its order.
  const faulty = faultyStore({ store });
  await verifyRepository({ repository: { ...repository, store: faulty }, scope: 'scrub', resource: 'volumes/b' });
  await clock.advance(1000);
  const orderly = faultyStore({ store });
  await verifyRepository({ repository: { ...repository, store: orderly }, scope: 'scrub' });
  const wholeReads = (calls: typeof faulty.calls) =>
    calls.filter(({ verb, key }) => verb === 'get' && key.includes('/data/')).map(({ key }) => key);
  const ofB = new Set(wholeReads(faulty.calls));
  const order = [...new Set(wholeReads(orderly.calls))].map((key) => ofB.has(key));
  assert.ok(order.indexOf(true) >= order.length - ofB.size, 'what was read last comes last');
});

test('time that is up leaves the rest to the next run, and says so', async () => {
  const { repository } = await story();
  const nothing = await verifyRepository({ repository, scope: 'scrub', maxDurationMs: 0 });
  assert.equal(nothing.packs.checked, 0);
  assert.ok(nothing.packs.left > 0);
  assert.ok(nothing.points.every(({ checked }) => !checked));
  const all = await verifyRepository({ repository, scope: 'scrub', maxDurationMs: hourMs });
  assert.equal(all.packs.left, 0);
  assert.ok(all.points.every(({ ok, checked }) => ok && checked));
});

test('records of many runs are folded, without packs that are gone', async () => {
  const { store, repository, clock, packsOfA } = await story();
  for (let run = 0; run < 40; run += 1) {
    await verifyRepository({ repository, scope: 'scrub' });
    await clock.advance(1000);
  }
  const keys = keysBelow(store, scrubPrefix('default'));
  assert.ok(keys.length <= 18, `${keys.length} records`);
  assert.ok(keys.length > 0);
  const young = await verifyRepository({ repository, scope: 'scrub', maxAgeMs: hourMs });
  assert.equal(young.packs.checked, 0);
  await movePack(repository, { packId: packsOfA[0]!, kind: 'data' });
  for (let run = 0; run < 20; run += 1) await verifyRepository({ repository, scope: 'scrub' });
  const texts = keysBelow(store, scrubPrefix('default')).map((key) => store.objects().get(key)!.toString());
  assert.ok(texts.some((text) => text.includes(packsOfA[1]!)));
  assert.ok(!texts.some((text) => text.includes(packsOfA[0]!)));
});

test('damaged records, and records of a clock that was ahead, only mean more reading', async () => {
  const { store, repository, clock } = await story();
  const ahead = fakeClock(clock.nowMs() + 100 * hourMs);
  await verifyRepository({ repository: { ...repository, clock: ahead }, scope: 'scrub' });
  const first = await verifyRepository({ repository, scope: 'scrub', maxAgeMs: hourMs });
  assert.equal(first.packs.young, 0);
  for (const key of keysBelow(store, scrubPrefix('default'))) await store.put(key, { buffers: [Buffer.from('{}')] });
  const second = await verifyRepository({ repository, scope: 'scrub', maxAgeMs: hourMs });
  assert.equal(second.packs.young, 0);
});

test('a storage that may not be written is verified all the same', async () => {
  const { store, repository, packsOfA } = await story();
  const key = packKey({ domain: 'default', kind: 'data', packId: packsOfA[0]! });
  const damaged = await store.get(key);
  damaged[500]! ^= 1;
  await store.put(key, { buffers: [damaged] });
  const faulty = faultyStore({
    store,
    script: ({ verb }) => (verb === 'put' || verb === 'delete' ? { kind: 'fail', code: 'storage_denied' } : undefined),
  });
  const report = await verifyRepository({ repository: through(repository, faulty), scope: 'scrub' });
  assert.deepEqual(
    report.points.map(({ ok }) => ok),
    [false, true],
  );
  assert.equal(report.recorded, false);
});
