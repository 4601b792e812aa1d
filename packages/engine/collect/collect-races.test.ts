/** What meets a collection at the worst moment: writers, readers, users, another keeper, each suspended where it hurts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { MemorySource, MemoryTarget, MemoryDisk, noise } from '@holdfast/testing';
import { backup } from '../backup/backup.ts';
import { collect } from './collect.ts';
import { findPoint, listPoints } from '../manifest/points.ts';
import { assertRestores, backupOf, smallChunkBytes, tableUses } from '../repository-fixture.ts';
import { restoreDisk } from '../restore/restore-disk.ts';
import { fenceSession, listSessions, openReaderSession } from '../session/session.ts';
import {
  assertKept,
  assertTidy,
  bringBackPoint,
  collectNow,
  collectStory,
  type Kept,
  orphansIn,
  removePoint,
  type Story,
} from './collect-fixture.ts';
import { type Moment, suspended } from './suspended-fixture.ts';

const chunk = smallChunkBytes;

const putsPoint: Moment = ({ verb, key }) => verb === 'put' && key.startsWith('d/default/rp/');
const putsOutcome: Moment = ({ verb, key }) => verb === 'put' && key.endsWith('-outcome');
const putsCondemned: Moment = ({ verb, key }) => verb === 'put' && key.endsWith('-condemned');
const putsPack: Moment = ({ verb, key }) => verb === 'put' && /^d\/default\/(data|meta)\//.test(key);
const deletesPack: Moment = ({ verb, key }) => verb === 'delete' && /^d\/default\/(data|meta)\//.test(key);

/** A story whose second point is alone in using some packs, with that content at hand. */
async function storyOfTwo(): Promise<Story & { readonly second: Kept }> {
  const story = await collectStory(2);
  return { ...story, second: story.kept[1]! };
}

test('a writer suspended across a whole collect: its packs stay, and its point counts', async () => {
  const { store, repository, kept, disk } = await collectStory();
  disk.write(noise({ seed: 50, length: 3 * chunk }), 0);
  await removePoint(repository, kept[0]!.point);
  const late = suspended(repository, putsPoint, async () => {
    const report = await collectNow(repository);
    assert.equal(report.deleted.packs, 0);
    assert.equal(report.heldBackBy.length, 1);
    await collectNow(repository);
  });
  const { point } = await backupOf(late, { vda: disk }, { parent: kept[2]!.point });
  await assertKept(repository, [...kept.slice(1), { point, disk }]);
  await collectNow(repository);
  await assertKept(repository, [...kept.slice(1), { point, disk }]);
  await assertTidy(repository, store);
});

test('a writer suspended across a whole collect and fenced by it: its late manifest is void, and its packs are gone', async () => {
  const { store, repository, kept, disk } = await collectStory();
  disk.write(noise({ seed: 50, length: 3 * chunk }), 0);
  const late = suspended(repository, putsPoint, async () => {
    const report = await collectNow(repository, { fenceOlderThanMs: -1 });
    assert.equal(report.fencedSessions.length, 1);
    assert.ok(report.deleted.packs > 0);
  });
  await assert.rejects(backupOf(late, { vda: disk }, { parent: kept[2]!.point }), (error) =>
    hasCode(error, 'session_fenced'),
  );
  await assertKept(repository, kept);
  assert.equal((await collectNow(repository)).voidPoints.length, 1);
  await assertTidy(repository, store);
});

test('a point that is undeleted and deleted again while a collection runs has its trash period once more', async () => {
  const { repository, clock, kept } = await collectStory(2);
  const { point } = kept[0]!;
  await removePoint(repository, point);
  await clock.advance(2 * 24 * 3600 * 1000);
  const prefix = `d/default/tomb/${point.manifest.id}`;
  const looksAgain: Moment = ({ verb, key }) => verb === 'list' && key.startsWith(prefix);
  let isBack = false;
  const late = suspended(repository, looksAgain, async () => {
    isBack = true;
    await bringBackPoint(repository, point);
    await removePoint(repository, point);
  });
  const { purgedPoints } = await collect({ repository: late, trashDays: 1 });
  assert.ok(isBack);
  assert.deepEqual(purgedPoints, []);
  await bringBackPoint(repository, point);
  await assertKept(repository, kept);
});

test('a writer that took over content of a purged point before it was condemned: what it uses is taken back', async () => {
  const { store, repository, second } = await storyOfTwo();
  const other = second.disk.clone();
  // It has looked at the condemned packs for the last time when the collection begins.
  const late = suspended(repository, putsPoint, async () => {
    await removePoint(repository, second.point);
    const report = await collectNow(repository);
    assert.ok(report.condemned.packs > 0);
    assert.equal(report.openEpochs.length, 1);
  });
  const { point } = await backupOf(late, { vda: other }, { resource: 'volumes/b' });
  const shared = Object.keys(await tableUses(repository, point));
  assert.ok(Object.keys(await tableUses(repository, second.point)).some((pack) => shared.includes(pack)));
  const report = await collectNow(repository);
  assert.ok(report.takenBack > 0);
  assert.equal((await listPoints({ repository, resource: 'volumes/b' })).points.length, 1);
  await assertRestores(repository, point, { vda: other });
  await collectNow(repository);
  await assertRestores(repository, point, { vda: other });
  assert.deepEqual(await orphansIn(repository, store), []);
});

test('a writer whose parent leads into condemned packs, and is purged: what was decided without it is not used', async () => {
  const { store, repository, second } = await storyOfTwo();
  const disk = second.disk.clone();
  // The point uses what was condemned beside it, and would be taken back because of it.
  const beside = suspended(repository, putsPoint, async () => {
    await removePoint(repository, second.point);
    assert.ok((await collectNow(repository)).condemned.packs > 0);
  });
  const { point: parent } = await backupOf(beside, { vda: disk }, { resource: 'volumes/b' });
  disk.write(noise({ seed: 70, length: 100 }), 0);
  const late = suspended(repository, putsPack, async () => {
    await removePoint(repository, parent);
    const report = await collectNow(repository);
    assert.deepEqual(report.purgedPoints, [parent.manifest.id]);
    assert.ok(report.deleted.packs > 0, 'the epoch was decided, and nothing of it is below gc/ any more');
  });
  const changed = [{ offset: 0, length: 100 }];
  const { point } = await backupOf(late, { vda: disk }, { resource: 'volumes/b', parent, changed: { vda: changed } });
  await assertRestores(repository, point, { vda: disk });
  await collectNow(repository);
  await assertRestores(repository, point, { vda: disk });
  assert.deepEqual(await orphansIn(repository, store), []);
});

test('a writer that finds condemned packs uses none of them', async () => {
  const { repository, second } = await storyOfTwo();
  const reader = await openReaderSession({ repository, point: second.point });
  await removePoint(repository, second.point);
  await collectNow(repository);
  const before = await tableUses(repository, second.point);
  const { point } = await backupOf(repository, { vda: second.disk }, { resource: 'volumes/b' });
  await reader[Symbol.asyncDispose]();
  const report = await collectNow(repository);
  assert.equal(report.takenBack, 0);
  assert.ok(report.deleted.packs > 0 && Object.keys(before).length > 0);
  await assertRestores(repository, point, { vda: second.disk });
});

test('an increment whose parent is deleted, purged and condemned while it reads runs again in full', async () => {
  const { store, repository, kept, disk } = await collectStory();
  const parent = kept[2]!.point;
  disk.write(noise({ seed: 60, length: 100 }), 5 * chunk);
  let isDone = false;
  const source = new MemorySource({
    disk,
    onRead: async () => {
      if (isDone) return;
      isDone = true;
      await removePoint(repository, parent);
      const report = await collectNow(repository);
      assert.ok(report.condemned.packs > 0);
      assert.equal(report.deleted.packs, 0);
    },
  });
  const disks = [{ name: 'vda', source, changed: [{ offset: 5 * chunk, length: 100 }] }];
  const { point } = await backup({ repository, resource: 'volumes/a', parent, disks });
  assert.equal(point.manifest.actual, 'full');
  assert.equal(point.manifest.disks[0]!.fallback_reason, 'pack_condemned');
  await collectNow(repository);
  await assertKept(repository, [...kept.slice(0, 2), { point, disk }]);
  await assertTidy(repository, store);
});

test('two keepers at once: each carries out what was decided first', async () => {
  for (const moment of [putsCondemned, putsOutcome, deletesPack]) {
    const { store, repository, second, kept } = await storyOfTwo();
    await removePoint(repository, second.point);
    let other: Awaited<ReturnType<typeof collectNow>> | undefined;
    const first = await collectNow(
      suspended(repository, moment, async () => {
        other = await collectNow(repository);
      }),
    );
    assert.ok(other && other.deleted.packs + first.deleted.packs > 0);
    await assertKept(repository, [kept[0]!]);
    await assertTidy(repository, store);
  }
});

test('a keeper suspended before its outcome, while another takes packs back and frees them: nothing in use goes', async () => {
  const { store, repository, second, kept } = await storyOfTwo();
  const other = second.disk.clone();
  await removePoint(repository, second.point);
  let third: Kept | undefined;
  const reader = await openReaderSession({ repository, point: kept[0]!.point });
  // Condemned, and held up by a reader: the epoch stays open.
  assert.equal((await collectNow(repository)).openEpochs.length, 1);
  await reader[Symbol.asyncDispose]();
  // The first keeper has listed the points, and nobody used the packs then.
  const slow = suspended(repository, putsOutcome, async () => {
    // The second one carries the epoch on and deletes them; a writer brings the same content once more.
    await collectNow(repository);
    third = { point: (await backupOf(repository, { vda: other }, { resource: 'volumes/b' })).point, disk: other };
  });
  await collectNow(slow);
  assert.ok(third);
  await assertKept(repository, [kept[0]!, third]);
  await collectNow(repository);
  await assertKept(repository, [kept[0]!, third]);
  await assertTidy(repository, store);
});

test('a keeper that decided belatedly finds the outcome of the one that took back', async () => {
  const { store, repository, second, kept } = await storyOfTwo();
  const other = second.disk.clone();
  let third: Kept | undefined;
  const late = suspended(repository, putsPoint, async () => {
    await removePoint(repository, second.point);
    // The epoch waits for this writer.
    assert.equal((await collectNow(repository)).openEpochs.length, 1);
  });
  const { point } = await backupOf(late, { vda: other }, { resource: 'volumes/b' });
  // The slow keeper sees the point; before it says so, the point is purged, and another keeper decides: all goes.
  const slow = suspended(repository, putsOutcome, async () => {
    await removePoint(repository, point);
    await collectNow(repository);
    third = { point: (await backupOf(repository, { vda: other }, { resource: 'volumes/b' })).point, disk: other };
  });
  await collectNow(slow);
  // And the other way round: the slow one saw no use, another one took back, the writer's packs must stay.
  assert.ok(third);
  await assertKept(repository, [kept[0]!, third]);
  await collectNow(repository);
  await collectNow(repository);
  await assertKept(repository, [kept[0]!, third]);
  assert.deepEqual(await orphansIn(repository, store), []);
});

test('an undelete during a purge: the point is whole, or it was purged and says so', async () => {
  const outcomes = new Set<boolean>();
  const moments: readonly Moment[] = [
    ({ verb, key }) => verb === 'list' && key.includes('/tomb/'),
    ({ verb, key }) => verb === 'put' && key.includes('/tomb/'),
    ({ verb, key }) => verb === 'delete' && key.includes('/rp/'),
    putsCondemned,
    putsOutcome,
    deletesPack,
  ];
  for (const moment of moments) {
    const { store, repository, second, kept } = await storyOfTwo();
    await removePoint(repository, second.point);
    let isBack = false;
    const keeper = suspended(repository, moment, async () => {
      isBack = await bringBackPoint(repository, second.point).then(
        () => true,
        (error: unknown) => {
          assert.ok(hasCode(error, 'point_not_found'));
          return false;
        },
      );
    });
    const report = await collectNow(keeper);
    outcomes.add(isBack);
    assert.equal(report.purgedPoints.length, isBack ? 0 : 1);
    await assertKept(repository, isBack ? kept : [kept[0]!]);
    await assertTidy(repository, store);
  }
  assert.equal(outcomes.size, 2);
});

test('a purge during an undelete', async () => {
  const { store, repository, second, kept } = await storyOfTwo();
  await removePoint(repository, second.point);
  const user = suspended(
    repository,
    ({ verb, key }) => verb === 'put' && key.includes('/tomb/'),
    async () => void (await collectNow(repository)),
  );
  await assert.rejects(bringBackPoint(user, second.point), (error) => hasCode(error, 'point_not_found'));
  await assertKept(repository, [kept[0]!]);
  await assertTidy(repository, store);
});

test('a point that is deleted, purged and collected while it is restored comes back whole', async () => {
  const { store, repository, second, kept } = await storyOfTwo();
  const point = await findPoint({ repository, point: second.point.manifest.id });
  const to = new MemoryDisk(second.disk.sizeBytes);
  const reader = suspended(
    repository,
    ({ verb, key }) => verb === 'get' && key.includes('/data/'),
    async () => {
      await removePoint(repository, second.point);
      const report = await collectNow(repository);
      assert.equal(report.purgedPoints.length, 1);
      assert.equal(report.heldBackBy[0]?.role, 'reader');
    },
  );
  await restoreDisk({ repository: reader, point, target: new MemoryTarget({ disk: to, fresh: true }) });
  assert.equal(second.disk.differsFrom(to), undefined);
  await collectNow(repository);
  await assertKept(repository, [kept[0]!]);
  await assertTidy(repository, store);
});

test('a reader of a point whose packs were condemned before it began, and that is purged then: they stay until it ends', async () => {
  const { store, repository, second, kept } = await storyOfTwo();
  const other = second.disk.clone();
  // Condemned after the writer has looked for the last time: the point that it commits uses what is condemned.
  const late = suspended(repository, putsPoint, async () => {
    await removePoint(repository, second.point);
    assert.equal((await collectNow(repository)).openEpochs.length, 1);
  });
  const { point } = await backupOf(late, { vda: other }, { resource: 'volumes/b' });
  const to = new MemoryDisk(other.sizeBytes);
  const reader = suspended(
    repository,
    ({ verb, key }) => verb === 'get' && key.includes('/data/'),
    async () => {
      await removePoint(repository, point);
      for (let run = 0; run < 2; run += 1) {
        const report = await collectNow(repository);
        // The old one, and one for what only this point used.
        assert.equal(report.openEpochs.length, 2);
        assert.deepEqual(
          report.heldBackBy.map(({ role, point: read }) => [role, read]),
          [['reader', point.manifest.id]],
        );
        assert.equal(report.deleted.packs, 0);
      }
    },
  );
  await restoreDisk({ repository: reader, point, target: new MemoryTarget({ disk: to, fresh: true }) });
  assert.equal(other.differsFrom(to), undefined);
  assert.ok((await collectNow(repository)).deleted.packs > 0);
  await collectNow(repository);
  await assertKept(repository, [kept[0]!]);
  await assertTidy(repository, store);
});

test('a reader of a point that counts holds back nothing that was condemned before', async () => {
  const { repository, second, kept } = await storyOfTwo();
  const first = await openReaderSession({ repository, point: second.point });
  await removePoint(repository, second.point);
  assert.equal((await collectNow(repository)).openEpochs.length, 1);
  await first[Symbol.asyncDispose]();
  await using _reader = await openReaderSession({ repository, point: kept[0]!.point });
  const report = await collectNow(repository);
  assert.deepEqual(report.openEpochs, []);
  assert.ok(report.deleted.packs > 0);
});

test('an undelete says nothing of a point that was fenced away meanwhile', async () => {
  const { repository, disk } = await collectStory(1);
  disk.write(noise({ seed: 70, length: 100 }), 0);
  // The fence is there, its points were listed before the manifest landed, the verdict is not yet put.
  let resume = (): void => {};
  const fencing: Promise<void>[] = [];
  const listsVerdict: Moment = ({ verb, key }) => verb === 'put' && key.endsWith('.verdict');
  const writer = suspended(repository, putsPoint, async () => {
    const [session] = await listSessions(repository);
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: resumed, resolve } = Promise.withResolvers<void>();
    resume = resolve;
    const keeper = suspended(repository, listsVerdict, async () => {
      reach();
      await resumed;
    });
    fencing.push(fenceSession(keeper, session!.id));
    await reached;
  });
  // The writer dies right after its manifest landed.
  const dying = suspended(
    writer,
    ({ verb, key }) => verb === 'head' && key.startsWith('gc/fence/'),
    async () => {
      throw new Error('died');
    },
  );
  const dead = suspended(
    dying,
    ({ verb, key }) => verb === 'put' && key.startsWith('gc/fence/'),
    async () => {
      throw new Error('died');
    },
  );
  await assert.rejects(backupOf(dead, { vda: disk }, { resource: 'volumes/c' }));
  const [point] = (await listPoints({ repository, resource: 'volumes/c' })).points;
  assert.ok(point, 'while there is no verdict, it counts');
  await removePoint(repository, point);
  const user = suspended(
    repository,
    ({ verb, key }) => verb === 'put' && key.includes('/tomb/'),
    async () => {
      resume();
      await Promise.all(fencing);
    },
  );
  await assert.rejects(bringBackPoint(user, point), (error) => hasCode(error, 'point_not_found'));
});
