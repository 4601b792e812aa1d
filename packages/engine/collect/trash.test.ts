/** Rule *trash*: deletes, undeletes and purges in any order, at once, and interrupted anywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, hasCode } from '@holdfast/base';
import { type Fault, fakeClock, faultyStore, MemoryDisk, noise, SimulatedCrash } from '@holdfast/testing';
import { findPoint, listPoints, type RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, backupOf, newRepository, restored, smallChunkBytes, through } from '../repository-fixture.ts';
import { choosePoints, deletePoints, purgePoint, undeletePoints } from './trash.ts';

const everyState = ['available', 'trashed', 'purging', 'void'] as const;
const fails = (code: ErrorCode) => (error: unknown) => hasCode(error, code);

async function story(points = 2) {
  const made = await newRepository();
  const clock = fakeClock();
  const repository: Repository = { ...made.repository, clock };
  const disk = new MemoryDisk(3 * smallChunkBytes);
  disk.write(noise({ seed: 1, length: 3 * smallChunkBytes }), 0);
  const kept: { point: RestorePoint; disk: MemoryDisk }[] = [];
  for (let index = 0; index < points; index += 1) {
    disk.write(noise({ seed: 10 + index, length: 1000 }), index * smallChunkBytes);
    const parent = kept.at(-1)?.point;
    kept.push({ point: (await backupOf(repository, { vda: disk }, { parent })).point, disk: disk.clone() });
    await clock.advance(60_000);
  }
  return { store: made.store, repository, clock, disk, kept };
}

const named = async (repository: Repository, point: RestorePoint, state: 'available' | 'trashed') =>
  await choosePoints({ repository, words: [point.manifest.id], state });

async function remove(repository: Repository, point: RestorePoint): Promise<void> {
  await deletePoints({ repository, points: await named(repository, point, 'available') });
}

async function bringBack(repository: Repository, point: RestorePoint): Promise<void> {
  await undeletePoints({ repository, points: await named(repository, point, 'trashed') });
}

const statesOf = async (repository: Repository) =>
  (await listPoints({ repository, states: everyState })).points.map(({ state }) => state);

test('a point that somebody else deleted and purged just now is told as one that is not there', async () => {
  const { repository, kept } = await story();
  const [{ point }] = kept as [(typeof kept)[0]];
  const points = await named(repository, point, 'available');
  await remove(repository, point);
  assert.equal(await purgePoint({ repository, point: points[0]! }), true);
  await assert.rejects(deletePoints({ repository, points }), fails('point_not_found'));
  assert.deepEqual(await statesOf(repository), ['available']);
});

test('a deleted point is hidden and whole, comes back, and can be deleted again', async () => {
  const { repository, kept } = await story();
  const [{ point, disk }] = kept as [(typeof kept)[0]];
  for (let round = 0; round < 11; round += 1) {
    await remove(repository, point);
    assert.deepEqual(await statesOf(repository), ['trashed', 'available']);
    assert.equal((await listPoints({ repository })).points.length, 1);
    await assert.rejects(findPoint({ repository, point: point.manifest.id }), (error) => {
      assert.ok(hasCode(error, 'point_not_found'));
      assert.match(error.remedy, /undelete/);
      return true;
    });
    await assert.rejects(remove(repository, point), fails('point_not_found'));
    // A restore that had found it before goes on.
    assert.equal(disk.differsFrom(await restored(repository, point)), undefined);
    await bringBack(repository, point);
    assert.deepEqual(await statesOf(repository), ['available', 'available']);
    await assert.rejects(bringBack(repository, point), fails('point_not_found'));
    await assertRestores(repository, point, { vda: disk });
  }
});

test('a purged point is gone for everybody, and only points of the trash are purged', async () => {
  const { repository, kept } = await story();
  const [{ point }, other] = kept as [(typeof kept)[0], (typeof kept)[0]];
  const key = { key: point.key, resource: 'volumes/a', pointId: point.manifest.id };
  assert.equal(await purgePoint({ repository, point: key }), false);
  await remove(repository, point);
  assert.equal(await purgePoint({ repository, point: key }), true);
  assert.equal(await purgePoint({ repository, point: key }), true, 'again: nothing is left to do');
  await assert.rejects(bringBack(repository, point), fails('point_not_found'));
  await assert.rejects(undeletePoints({ repository, points: [key] }), fails('point_not_found'));
  await assert.rejects(restored(repository, point), fails('point_not_found'));
  assert.deepEqual(await statesOf(repository), ['available']);
  await assertRestores(repository, other.point, { vda: other.disk });
});

test('words name points as everywhere; a whole resource goes at once', async () => {
  const { repository, kept, disk } = await story(3);
  const other = await backupOf(repository, { vda: disk }, { resource: 'volumes/b' });
  const choose = async (words: readonly string[], resource?: string) =>
    (await choosePoints({ repository, words, resource, state: 'available' })).map(({ pointId }) => pointId);
  const ids = kept.map(({ point }) => point.manifest.id);
  assert.deepEqual(await choose(['latest'], 'volumes/a'), [ids[2]]);
  assert.deepEqual(await choose([ids[0]!, ids[0]!.slice(0, -1), ids[1]!]), [ids[0], ids[1]]);
  assert.deepEqual(await choose([], 'volumes/a'), ids);
  assert.deepEqual(await choose([], 'volumes/b'), [other.point.manifest.id]);
  await assert.rejects(choose([ids[0]!.slice(0, 8)]), fails('point_ambiguous'));
  await assert.rejects(choose(['bkp_ffffffff']), fails('point_not_found'));
  await assert.rejects(choose(['latest']), fails('usage'));
  await assert.rejects(choose([]), fails('usage'));
  await remove(repository, kept[2]!.point);
  assert.deepEqual(await choose(['latest'], 'volumes/a'), [ids[1]]);
  assert.equal((await findPoint({ repository, point: 'latest', resource: 'volumes/a' })).manifest.id, ids[1]);
});

test('a number of a series does not come again after its point was deleted, or purged', async () => {
  const { repository, kept, disk } = await story(3);
  const newest = kept[2]!.point;
  await remove(repository, newest);
  const parent = kept[1]!.point;
  const fourth = await backupOf(repository, { vda: disk }, { parent });
  assert.equal(fourth.point.manifest.increment_id, 4);
  await remove(repository, fourth.point);
  for (const point of [newest, fourth.point]) {
    await purgePoint({ repository, point: { key: point.key, resource: 'volumes/a', pointId: point.manifest.id } });
  }
  assert.equal((await backupOf(repository, { vda: disk }, { parent })).point.manifest.increment_id, 5);
});

test('a point whose manifest is damaged can be deleted and purged', async () => {
  const { store, repository, kept } = await story();
  const { point } = kept[0]!;
  await store.put(point.key, { buffers: [Buffer.from('torn')] });
  assert.equal((await listPoints({ repository })).damaged.length, 1);
  await remove(repository, point);
  assert.equal((await listPoints({ repository })).damaged.length, 0);
  const { damaged } = await listPoints({ repository, states: everyState });
  assert.deepEqual(
    damaged.map(({ state }) => state),
    ['trashed'],
  );
  await purgePoint({ repository, point: damaged[0]! });
  assert.deepEqual(await statesOf(repository), ['available']);
});

test('of an undelete and a purge at once exactly one happens, whatever the order of their calls', async () => {
  const outcomes = new Set<string>();
  // One of them is held up for so many calls of the other.
  for (let pause = 0; pause < 8; pause += 1) {
    for (const first of ['undelete', 'purge'] as const) {
      const { store, repository, kept } = await story();
      const { point, disk } = kept[0]!;
      await remove(repository, point);
      const points = await named(repository, point, 'trashed');
      const slow = faultyStore({ store, script: ({ call }) => (call === pause ? { kind: 'slow', ms: 5 } : undefined) });
      const late = through(repository, slow);
      const [undelete, purge] = first === 'undelete' ? [repository, late] : [late, repository];
      const [undeleted, purged] = await Promise.allSettled([
        undeletePoints({ repository: undelete, points }),
        purgePoint({ repository: purge, point: points[0]! }),
      ]);
      assert.equal(purged.status, 'fulfilled');
      assert.notEqual(undeleted.status === 'fulfilled', purged.value, 'both or neither happened');
      outcomes.add(String(purged.value));
      if (undeleted.status === 'fulfilled') await assertRestores(repository, point, { vda: disk });
      else assert.deepEqual(await statesOf(repository), ['available']);
    }
  }
  assert.deepEqual([...outcomes].sort(), ['false', 'true']);
});

for (const [what, run] of Object.entries({
  delete: async (repository: Repository, point: RestorePoint) => {
    await remove(repository, point);
    return ['trashed'];
  },
  undelete: async (repository: Repository, point: RestorePoint) => {
    await bringBack(repository, point);
    return ['available'];
  },
  purge: async (repository: Repository, point: RestorePoint) => {
    await purgePoint({ repository, point: (await named(repository, point, 'trashed'))[0]! });
    return [];
  },
})) {
  test(`a ${what} that dies at any storage call: the point is whole or gone, and the same once more completes it`, async () => {
    const { store: start, repository, kept } = await story();
    const { point, disk } = kept[0]!;
    if (what !== 'delete') await remove(repository, point);
    for (const when of ['before', 'partial', 'after'] as const) {
      for (let call = 1; ; call += 1) {
        const store = start.clone();
        const dying = faultyStore({
          store,
          script: (request): Fault | undefined => (request.call === call ? { kind: 'crash', when } : undefined),
        });
        const ended = await run(through(repository, dying), point).then(
          () => undefined,
          (error: unknown) => error,
        );
        const survivor = through(repository, store);
        const [state] = (await listPoints({ repository: survivor, states: everyState })).points
          .filter(({ key }) => key === point.key)
          .map((listed) => listed.state);
        if (state === 'available') await assertRestores(survivor, point, { vda: disk });
        else if (state === 'trashed') assert.equal(disk.differsFrom(await restored(survivor, point)), undefined);
        else assert.equal(what, 'purge');
        await assertRestores(survivor, kept[1]!.point, { vda: kept[1]!.disk });
        if (!dying.crashed) {
          assert.equal(ended, undefined);
          break;
        }
        assert.ok(ended instanceof SimulatedCrash);
        const due = await run(survivor, point).catch((error: unknown) => {
          assert.ok(hasCode(error, 'point_not_found'), String(error));
          return { delete: ['trashed'], undelete: ['available'], purge: [] }[what];
        });
        if (what !== 'purge') assert.deepEqual(await statesOf(survivor), [...due!, 'available']);
      }
    }
  });
}
