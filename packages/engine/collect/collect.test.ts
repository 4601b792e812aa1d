/** Rules *find*, *condemn*, *decide* and *sweep* in the calm, and what each of them refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { faultyStore, MemoryStore, noise } from '@holdfast/testing';
import { openChunkIndex } from '../index/chunk-index.ts';
import { listPoints } from '../manifest/points.ts';
import { backupOf, smallChunkBytes, tableUses, through } from '../repository-fixture.ts';
import { indexPrefix, packKey, sessionSpillPrefix } from '../repository/layout.ts';
import { putFence } from '../session/fences.ts';
import { listSessions, openReaderSession, openSession } from '../session/session.ts';
import {
  assertKept,
  assertTidy,
  bringBackPoint,
  collectNow,
  collectStory,
  dayMs,
  orphansIn,
  removePoint,
} from './collect-fixture.ts';
import { collect } from './collect.ts';

test('nothing is collected while every point is there', async () => {
  const { store, repository, kept } = await collectStory();
  const before = [...store.objects().keys()];
  const report = await collectNow(repository);
  assert.equal(report.condemned.packs, 0);
  assert.equal(report.deleted.packs, 0);
  assert.ok(report.stored.packs > 10, `${report.stored.packs} packs`);
  assert.deepEqual([...store.objects().keys()], before);
  await assertKept(repository, kept);
});

test('a deleted point keeps its packs for its days in the trash, and then they go, and no others', async () => {
  const { store, repository, clock, kept } = await collectStory();
  await removePoint(repository, kept[1]!.point);
  await clock.advance(6.9 * dayMs);
  assert.deepEqual((await collect({ repository })).purgedPoints, []);
  await bringBackPoint(repository, kept[1]!.point);
  await assertKept(repository, kept);
  await removePoint(repository, kept[1]!.point);
  await clock.advance(7 * dayMs);
  const untouched = [...store.objects().keys()];
  const dry = await collect({ repository, dryRun: true });
  assert.deepEqual([...store.objects().keys()], untouched);
  const report = await collect({ repository });
  assert.deepEqual(report.purgedPoints, [kept[1]!.point.manifest.id]);
  assert.deepEqual(dry.purgedPoints, report.purgedPoints);
  assert.deepEqual(dry.condemned, report.condemned);
  assert.deepEqual(report.deleted, report.condemned);
  assert.ok(report.deleted.packs > 0 && report.deleted.bytes > smallChunkBytes);
  assert.equal(report.takenBack, 0);
  assert.deepEqual(report.openEpochs, []);
  await assertKept(repository, [kept[0]!, kept[2]!]);
  await assertTidy(repository, store);
});

test('any point goes in any order, until nothing but the repository is left', async () => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
  ]) {
    const { store, repository, kept } = await collectStory();
    let left = [...kept];
    for (const index of order) {
      await removePoint(repository, kept[index]!.point);
      await collectNow(repository);
      left = left.filter((one) => one !== kept[index]);
      await assertKept(repository, left);
      await assertTidy(repository, store);
    }
    const packs = [...store.objects().keys()].filter((key) => /^d\/default\/(data|meta|rp|idx)\//.test(key));
    assert.deepEqual(packs, []);
  }
});

test('a purging record goes thirty days after its point', async () => {
  const { store, repository, clock, kept } = await collectStory();
  await removePoint(repository, kept[0]!.point);
  const tombs = () => [...store.objects().keys()].filter((key) => key.includes('/tomb/')).length;
  await collectNow(repository);
  assert.equal(tombs(), 2);
  await clock.advance(29.9 * dayMs);
  await collectNow(repository);
  assert.equal(tombs(), 2);
  await clock.advance(0.2 * dayMs);
  assert.equal((await collectNow(repository)).leftovers, 2);
  assert.equal(tombs(), 0);
  await assertKept(repository, kept.slice(1));
});

test('the highest number of a series stays known as long as the series goes on', async () => {
  const { store, repository, clock, kept, disk } = await collectStory(4);
  for (const index of [2, 3]) await removePoint(repository, kept[index]!.point);
  await collectNow(repository);
  await clock.advance(31 * dayMs);
  await collectNow(repository);
  const { point } = await backupOf(repository, { vda: disk }, { parent: kept[1]!.point });
  assert.equal(point.manifest.increment_id, 5);
  // That one is the highest now, and when the series has ended nobody asks any more.
  const tombs = () => [...store.objects().keys()].filter((key) => key.includes('/tomb/')).length;
  assert.equal(tombs(), 4);
  await collectNow(repository);
  assert.equal(tombs(), 0);
  for (const one of [kept[0]!.point, kept[1]!.point, point]) await removePoint(repository, one);
  await collectNow(repository);
  await clock.advance(31 * dayMs);
  await collectNow(repository);
  assert.equal(tombs(), 0);
});

test('what a crashed backup left goes: packs, session, spilled index', async () => {
  const { store, repository, kept, disk } = await collectStory();
  disk.write(noise({ seed: 77, length: 8 * smallChunkBytes }), 0);
  let calls = 0;
  const dying = faultyStore({
    store,
    script: ({ verb, key }) => {
      if (verb === 'put' && key.includes('/data/')) calls += 1;
      return calls === 4 ? { kind: 'crash', when: 'after' } : undefined;
    },
  });
  await assert.rejects(backupOf(through(repository, dying), { vda: disk }));
  const [dead] = await listSessions(repository);
  assert.ok(dead);
  await store.put(`${sessionSpillPrefix(dead.id)}0`, { buffers: [Buffer.from('spilled')] });
  assert.ok((await orphansIn(repository, store)).length >= 3);
  // Its process lives (it is this one), so nobody but the operator knows that it is dead.
  const careful = await collectNow(repository);
  assert.equal(careful.deleted.packs, 0);
  assert.equal(careful.condemned.packs, 0, 'packs of a session that is listed are in the making');
  const report = await collectNow(repository, { fence: [dead.id] });
  assert.deepEqual(report.fencedSessions, [dead.id]);
  assert.ok(report.deleted.packs >= 3);
  await assertTidy(repository, store);
  await assertKept(repository, kept);
});

test('a session that is older than the operator allows is fenced; a fence that was begun is finished', async () => {
  const { repository, clock } = await collectStory(1);
  const old = await openSession({ repository, role: 'writer', resource: 'volumes/x' });
  await clock.advance(3600_000);
  const young = await openSession({ repository, role: 'reader' });
  assert.deepEqual((await collectNow(repository, { fenceOlderThanMs: 3600_000 })).fencedSessions, []);
  assert.deepEqual((await collectNow(repository, { fenceOlderThanMs: 3599_000 })).fencedSessions, [old.id]);
  await putFence(repository, young.id);
  assert.deepEqual((await collectNow(repository)).fencedSessions, [young.id]);
  assert.deepEqual(await listSessions(repository), []);
});

test('index entries of deleted packs go, the others stay', async () => {
  const { store, repository, kept, disk } = await collectStory();
  const lost = kept[1]!.disk.clone();
  await removePoint(repository, kept[1]!.point);
  await collectNow(repository);
  const index = await openChunkIndex({ store, prefix: indexPrefix('default') });
  const read = (from: typeof disk, chunk: number) => {
    const into = Buffer.alloc(smallChunkBytes);
    from.read(into, chunk * smallChunkBytes);
    return repository.codec.digest(into).id;
  };
  for (let chunk = 0; chunk < 8; chunk += 1) {
    const location = await index.lookup(read(disk, chunk));
    assert.ok(location, `chunk ${chunk} is in a pack that stays`);
    assert.ok(await store.head(packKey({ domain: 'default', kind: 'data', packId: location.packId })));
  }
  for (let chunk = 0; chunk < 8; chunk += 1) {
    const location = await index.lookup(read(lost, chunk));
    if (location) assert.ok(await store.head(packKey({ domain: 'default', kind: 'data', packId: location.packId })));
  }
});

test('a reader holds back what it reads, the run ends well, and the next one carries on', async () => {
  const { store, repository, kept } = await collectStory();
  const [first, ...others] = kept;
  const reader = await openReaderSession({ repository, point: first!.point });
  await removePoint(repository, first!.point);
  const report = await collectNow(repository);
  assert.equal(report.deleted.packs, 0);
  assert.ok(report.condemned.packs > 0);
  assert.equal(report.openEpochs.length, 1);
  const [holder] = report.heldBackBy;
  assert.equal(holder?.id, reader.id);
  assert.equal(holder.role, 'reader');
  assert.equal(holder.liveness, 'alive');
  assert.equal(holder.process.pid, process.pid);
  // What began after the list was put holds nothing back.
  const later = await openSession({ repository, role: 'reader' });
  const again = await collectNow(repository);
  assert.equal(again.condemned.packs, 0, 'what is condemned is not condemned twice');
  assert.deepEqual(
    again.heldBackBy.map(({ id }) => id),
    [reader.id],
  );
  await reader[Symbol.asyncDispose]();
  const last = await collectNow(repository);
  assert.deepEqual(last.deleted, report.condemned);
  assert.deepEqual(last.openEpochs, []);
  await later[Symbol.asyncDispose]();
  await assertKept(repository, others);
  await assertTidy(repository, store);
});

test('a run that may wait ends when its holder does', async () => {
  const { store, repository, clock, kept } = await collectStory();
  const reader = await openReaderSession({ repository, point: kept[0]!.point });
  await removePoint(repository, kept[0]!.point);
  let sleeps = 0;
  const report = await collectNow(repository, {
    waitMs: 60_000,
    sleep: async ({ ms }) => {
      sleeps += 1;
      await clock.advance(ms);
      if (sleeps === 3) await reader[Symbol.asyncDispose]();
    },
  });
  assert.equal(sleeps, 3);
  assert.ok(report.deleted.packs > 0);
  await assertTidy(repository, store);
  const patient = await openSession({ repository, role: 'reader' });
  await removePoint(repository, kept[1]!.point);
  sleeps = -1000;
  const held = await collectNow(repository, {
    waitMs: 10_500,
    sleep: async ({ ms }) => {
      sleeps += 1;
      await clock.advance(ms);
    },
  });
  assert.equal(sleeps, -989);
  assert.equal(held.openEpochs.length, 1);
  await patient[Symbol.asyncDispose]();
});

test('the limits of a run leave the rest to the next', async () => {
  const { store, repository, kept } = await collectStory();
  for (const { point } of kept) await removePoint(repository, point);
  const all = await collectNow(repository, { dryRun: true });
  const first = await collectNow(repository, { maxPacks: 3 });
  assert.equal(first.deleted.packs, 3);
  assert.equal(first.left.packs, all.condemned.packs - 3);
  const limit = Math.floor((all.condemned.bytes - first.deleted.bytes) / 2);
  const second = await collectNow(repository, { maxBytes: limit });
  assert.ok(second.deleted.bytes <= limit && second.deleted.packs > 0);
  await collectNow(repository);
  await assertTidy(repository, store);
});

test('refused where the storage does not say for sure what it holds', async () => {
  const { repository } = await collectStory(1);
  for (const capabilities of [{ listAfterWrite: false }, { createOnlyPut: false }]) {
    const store = new MemoryStore({ capabilities });
    await assert.rejects(collect({ repository: through(repository, store) }), (error) =>
      hasCode(error, 'collect_refused'),
    );
  }
  await assert.rejects(collect({ repository, trashDays: 31 }), (error) => hasCode(error, 'usage'));
  await assert.rejects(collect({ repository, dryRun: true, acceptVanished: true }), (error) => hasCode(error, 'usage'));
});

/** What makes the view of the keeper incomplete, and how the repository comes to be collected again. */
const blindness: Readonly<Record<string, (story: Awaited<ReturnType<typeof collectStory>>) => Promise<string>>> = {
  'an unreadable manifest': async ({ store, kept }) => {
    await store.put(kept[1]!.point.key, { buffers: [Buffer.from('torn')] });
    return 'collect_refused';
  },
  'a missing page of a pack table': async ({ store, kept }) => {
    const page = kept[1]!.point.manifest.table.pages[0]!;
    assert.equal(page.kind, 'data');
    await store.delete(packKey({ domain: 'default', kind: 'meta', packId: page.location.packId }));
    return 'collect_refused';
  },
  'an unreadable trash record': async ({ store, repository, kept }) => {
    await removePoint(repository, kept[1]!.point);
    const key = [...store.objects().keys()].findLast((name) => name.includes('/tomb/'))!;
    await store.put(key, { buffers: [Buffer.from('torn')] });
    return 'repository_damaged';
  },
  'an unreadable session': async ({ store }) => {
    await store.put('sess/ses_00000000000000000000000000000001', { buffers: [Buffer.from('torn')] });
    return 'repository_damaged';
  },
  'an unreadable condemned list': async ({ store }) => {
    await store.put('gc/00000001-00000000-condemned', { buffers: [Buffer.from('torn')] });
    return 'repository_damaged';
  },
  'an unreadable forwarding': async ({ store, repository, kept }) => {
    const [pack] = Object.keys(await tableUses(repository, kept[1]!.point));
    await store.put(`d/default/moved/${pack!.split(' ')[1]}.1`, { buffers: [Buffer.from('torn')] });
    return 'repository_damaged';
  },
};

for (const [what, blind] of Object.entries(blindness)) {
  test(`${what}: nothing is deleted`, async () => {
    const story = await collectStory();
    const { store, repository, kept } = story;
    await removePoint(repository, kept[0]!.point);
    const code = await blind(story);
    const before = [...store.objects().keys()];
    await assert.rejects(collectNow(repository), (error) => {
      assert.ok(hasCode(error, 'collect_refused', 'repository_damaged'), String(error));
      assert.equal(error.code, code);
      return true;
    });
    assert.deepEqual([...store.objects().keys()], before);
  });
}

test('a listing that fails anywhere: nothing is deleted', async () => {
  const { store, repository, kept } = await collectStory();
  await removePoint(repository, kept[0]!.point);
  const before = [...store.objects().keys()];
  for (const prefix of ['d/default/data/', 'd/default/meta/', 'd/default/rp/', 'd/default/tomb/', 'sess/', 'gc/']) {
    const blind = faultyStore({
      store,
      script: ({ verb, key }) =>
        verb === 'list' && key === prefix ? { kind: 'fail', code: 'storage_denied' } : undefined,
    });
    await assert.rejects(collectNow(through(repository, blind)), (error) => hasCode(error, 'storage_denied'), prefix);
    assert.deepEqual([...store.objects().keys()], before);
  }
});

test('a point that cannot be read keeps the others from being collected until it is purged itself', async () => {
  for (const blind of ['an unreadable manifest', 'a missing page of a pack table']) {
    const story = await collectStory();
    const { store, repository, kept } = story;
    await blindness[blind]!(story);
    const broken = kept[1]!.point;
    await removePoint(repository, broken);
    await assert.rejects(collect({ repository }), (error) => hasCode(error, 'collect_refused'));
    await removePoint(repository, kept[2]!.point);
    const report = await collectNow(repository);
    assert.deepEqual(report.purgedPoints.toSorted(), [broken.manifest.id, kept[2]!.point.manifest.id].toSorted());
    assert.ok(report.deleted.packs > 0);
    if (blind === 'an unreadable manifest') await assertKept(repository, [kept[0]!]);
    await assertTidy(repository, store);
  }
});

test('void manifests go', async () => {
  const { store, repository, kept, disk } = await collectStory();
  const faulty = faultyStore({
    store,
    script: ({ verb, key }) =>
      verb === 'put' && key.startsWith('d/default/rp/') ? { kind: 'late_put', afterCalls: 1000 } : undefined,
  });
  disk.write(noise({ seed: 5, length: 1000 }), 0);
  await assert.rejects(backupOf(through(repository, faulty), { vda: disk }));
  await faulty.landLatePuts();
  const report = await collectNow(repository);
  assert.equal(report.voidPoints.length, 1);
  assert.deepEqual((await listPoints({ repository, states: ['void'] })).points, []);
  await assertKept(repository, kept);
  await assertTidy(repository, store);
});

for (const hours of [-24 * 365, -1, 1, 24 * 365]) {
  test(`a clock that is wrong by ${hours} hours costs comfort only`, async () => {
    const { store, repository, clock, kept, disk } = await collectStory();
    const wrong = { ...repository, clock: { ...clock, nowMs: () => clock.nowMs() + hours * 3600_000 } };
    await removePoint(repository, kept[0]!.point);
    // One who is a year ahead takes the seven days for over.
    const isGone = (await collect({ repository: wrong })).purgedPoints.length > 0;
    assert.equal(isGone, hours > 24 * 7);
    if (!isGone) await bringBackPoint(repository, kept[0]!.point);
    const { point } = await backupOf(wrong, { vda: disk }, { parent: kept[2]!.point });
    assert.equal(point.manifest.increment_id, 4);
    await removePoint(wrong, kept[1]!.point);
    await collectNow(repository);
    await collectNow(wrong);
    await assertKept(repository, [...kept.slice(isGone ? 1 : 0, 1), kept[2]!, { point, disk }]);
    await assertTidy(repository, store);
  });
}
