import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { faultyStore, noise } from '@holdfast/testing';
import { adoptRepository } from '../repository/adopt.ts';
import { indexPrefix, movedPrefix, packKey, parseMovedKey } from '../repository/layout.ts';
import { assertRestores, assertVerifies, backupOf, newRepository, through } from '../repository-fixture.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { packsOf } from '../pack/forwarding-fixture.ts';
import { compact } from './compact.ts';
import { assertKept, bytesOf, chunk, removeDeadPacks, sparseStory } from './compact-fixture.ts';

for (const encrypted of [false, true]) {
  test(`sparse packs become few, and every point stays as it was (encrypted: ${encrypted})`, async () => {
    const { store, repository, kept, disk } = await sparseStory({ encrypted });
    await removeDeadPacks(repository);
    const before = { data: packsOf(store, 'data').length, bytes: bytesOf(store) };
    const planned = await compact({ repository, thresholdPercent: 90, dryRun: true });
    assert.deepEqual(await compact({ repository, thresholdPercent: 90, dryRun: true }), planned, 'nothing was done');
    const report = await compact({ repository, thresholdPercent: 90 });
    assert.deepEqual({ ...report, newPacks: 0 }, planned);
    assert.ok(report.packs.count > 2 && report.copiedBytes < report.packs.bytes);
    await assertKept(through(repository, store), kept);
    assert.ok((await removeDeadPacks(repository)) >= report.packs.count);
    assert.ok(packsOf(store, 'data').length < before.data);
    assert.ok(bytesOf(store) < before.bytes * 0.8, `${bytesOf(store)} of ${before.bytes}`);
    await assertKept(through(repository, store), kept);
    await assertVerifies(through(repository, store));
    // Nothing is left to do, and the series goes on.
    assert.equal((await compact({ repository, thresholdPercent: 90 })).packs.count, 0);
    const { parent, extent } = { parent: kept[1]!.point, extent: { offset: 0, length: chunk } };
    disk.write(noise({ seed: 77, length: chunk }), 0);
    const fresh = through(repository, store);
    const next = await backupOf(fresh, { vda: disk }, { parent, changed: { vda: [extent] } });
    await assertRestores(fresh, next.point, { vda: disk });
    await assertVerifies(fresh);
    assert.deepEqual(await listSessions(repository), []);
  });
}

test('a backup finds the chunks that were moved, though their old packs are gone', async () => {
  const { store, repository, kept } = await sparseStory();
  await compact({ repository, thresholdPercent: 100 });
  await removeDeadPacks(repository);
  const fresh = through(repository, store);
  const { point } = await backupOf(fresh, { vda: kept[1]!.disk }, { resource: 'volumes/copy' });
  assert.equal(point.manifest.disks[0]!.counters.new_bytes, 0);
  await assertRestores(fresh, point, { vda: kept[1]!.disk });
  await assertVerifies(fresh);
});

test('a repository that was compacted is adopted: the index is built from where the chunks are now', async () => {
  const { store, repository, kept } = await sparseStory();
  await compact({ repository, thresholdPercent: 100 });
  await removeDeadPacks(repository);
  for (const key of store.objects().keys()) if (key.startsWith(indexPrefix('default'))) await store.delete(key);
  const fresh = through(repository, store);
  const report = await adoptRepository({ repository: fresh });
  assert.deepEqual([...report.unreadablePacks, ...report.unreadableTables], []);
  const { point } = await backupOf(fresh, { vda: kept[1]!.disk }, { resource: 'volumes/copy' });
  assert.equal(point.manifest.disks[0]!.counters.new_bytes, 0);
  await assertRestores(fresh, point, { vda: kept[1]!.disk });
});

test('a budget is kept, sparsest packs first, and the next run takes the rest', async () => {
  const { store, repository, kept } = await sparseStory();
  const all = await compact({ repository, thresholdPercent: 90, dryRun: true });
  const maxBytes = Math.floor(all.copiedBytes / 2);
  const first = await compact({ repository, thresholdPercent: 90, maxBytes });
  assert.ok(first.copiedBytes <= maxBytes && first.packs.count > 0);
  assert.ok(first.left.count > 0);
  assert.equal(first.packs.count + first.left.count, all.packs.count);
  const second = await compact({ repository, thresholdPercent: 90 });
  assert.equal(second.packs.count, first.left.count);
  await removeDeadPacks(repository);
  await assertKept(through(repository, store), kept);
});

test('content survives being compacted again and again', async () => {
  const { store, repository, kept } = await sparseStory();
  for (let round = 0; round < 3; round += 1) {
    const fresh = through(repository, store);
    await compact({ repository: fresh, thresholdPercent: 100 });
    await removeDeadPacks(fresh);
    const last = kept[1]!.disk.clone();
    last.write(noise({ seed: 600 + round, length: chunk }), round * chunk);
    const { point } = await backupOf(fresh, { vda: last }, { resource: `volumes/r${round}` });
    await assertKept(through(repository, store), kept);
    await store.delete(point.key);
    await removeDeadPacks(fresh);
    await assertKept(through(repository, store), kept);
  }
  await assertVerifies(through(repository, store));
});

test('nothing is copied out of a damaged pack, and the report names it', async () => {
  const { store, repository } = await sparseStory();
  const copy = store.clone();
  const whole = await compact({ repository: through(repository, copy), thresholdPercent: 100 });
  const moved = [...copy.objects().keys()].flatMap((key) => parseMovedKey('default', key)?.packId ?? []);
  const packId = packsOf(store, 'data').find((candidate) => moved.includes(candidate))!;
  const key = packKey({ domain: 'default', kind: 'data', packId });
  const bytes = await store.get(key);
  bytes[3000]! ^= 1;
  await store.put(key, { buffers: [bytes] });
  const report = await compact({ repository, thresholdPercent: 100 });
  assert.deepEqual(report.damaged, [packId]);
  assert.equal(report.packs.count, whole.packs.count - 1);
  assert.ok(![...store.objects().keys()].some((name) => name.startsWith(movedPrefix('default', packId))));
});

test('two compactions at once: one forwards a slot, the copy of the other is garbage', async () => {
  const { store, repository, kept } = await sparseStory();
  const [one, other] = await Promise.all([
    compact({ repository: through(repository, store), thresholdPercent: 100 }),
    compact({ repository: through(repository, store), thresholdPercent: 100 }),
  ]);
  assert.equal(one.packs.count, other.packs.count);
  await removeDeadPacks(repository);
  await assertKept(through(repository, store), kept);
  await assertVerifies(through(repository, store));
});

test('a compaction whose session was fenced forwards nothing more', async () => {
  const { store, repository, kept } = await sparseStory();
  const faulty = faultyStore({ store, script: () => undefined });
  let fenced: Promise<void> | undefined;
  const put = faulty.put.bind(faulty);
  faulty.put = async (...call) => {
    if (call[0].includes('/data/')) {
      fenced ??= listSessions(repository).then(async ([session]) => await fenceSession(repository, session!.id));
      await fenced;
    }
    await put(...call);
  };
  await assert.rejects(compact({ repository: through(repository, faulty), thresholdPercent: 100 }), (error) =>
    hasCode(error, 'session_fenced'),
  );
  assert.ok(fenced);
  assert.ok(![...store.objects().keys()].some((name) => name.startsWith(movedPrefix('default'))));
  await assertKept(repository, kept);
});

test('a threshold that is none is refused', async () => {
  const { repository } = await newRepository();
  for (const thresholdPercent of [0, -1, 101, Number.NaN]) {
    await assert.rejects(compact({ repository, thresholdPercent }), (error) => hasCode(error, 'usage'));
  }
});

for (const when of ['before', 'partial', 'after'] as const) {
  const where = { before: 'before its effect', partial: 'in its middle', after: 'with its acknowledgement lost' }[when];
  test(`a compaction that dies at any storage call, ${where}, costs nothing; the next one goes on`, async () => {
    const { store: start, repository, kept, disk } = await sparseStory();
    for (let call = 1; ; call += 1) {
      const store = start.clone();
      const dying = faultyStore({
        store,
        script: (request) => (request.call === call ? { kind: 'crash', when } : undefined),
      });
      await compact({ repository: through(repository, dying), thresholdPercent: 90 }).catch(() => undefined);
      const survivor = through(repository, store);
      await assertKept(survivor, kept);
      for (const { id } of await listSessions(survivor)) await fenceSession(survivor, id);
      await removeDeadPacks(survivor);
      await assertKept(through(repository, store), kept);
      const again = through(repository, store);
      await compact({ repository: again, thresholdPercent: 90 });
      await removeDeadPacks(again);
      await assertKept(through(repository, store), kept);
      assert.equal((await compact({ repository: again, thresholdPercent: 90, dryRun: true })).packs.count, 0);
      const last = through(repository, store);
      const next = await backupOf(last, { vda: disk }, { parent: kept[1]!.point, changed: { vda: [] } });
      await assertRestores(last, next.point, { vda: disk });
      if (!dying.crashed) {
        assert.ok(call > 20, `only ${call} calls`);
        assert.ok([...store.objects().keys()].some((key) => key.startsWith(indexPrefix('default'))));
        break;
      }
    }
  });
}
