/** Rules *settle* and *fence*: of a session that is ended from outside, everybody agrees which point counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import { type Fault, faultyStore, MemoryDisk, noise, type StorageCall } from '@holdfast/testing';
import { findPoint, listPoints } from '../manifest/points.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  newRepository,
  restored,
  smallChunkBytes,
  through,
} from '../repository-fixture.ts';
import { pointsPrefix } from '../repository/layout.ts';
import { listFences, readVerdict } from './fences.ts';
import { fenceSession, listSessions } from './session.ts';

async function story() {
  const { store, repository } = await newRepository();
  const disk = new MemoryDisk(3 * smallChunkBytes);
  disk.write(noise({ seed: 1, length: 3 * smallChunkBytes }), 0);
  return { store, repository, disk };
}

const isPointPut = ({ verb, key }: Pick<StorageCall, 'verb' | 'key'>) =>
  verb === 'put' && key.startsWith(pointsPrefix('default'));

/** Runs something when the manifest is about to be put, or right after. */
async function backupMeeting(
  made: Awaited<ReturnType<typeof story>>,
  moment: 'before' | 'after',
  meet: () => Promise<void>,
) {
  const { store } = made;
  const meeting: BlobStore = {
    capabilities: store.capabilities,
    put: async (key, body, options) => {
      const isPoint = isPointPut({ verb: 'put', key });
      if (isPoint && moment === 'before') await meet();
      await store.put(key, body, options);
      if (isPoint && moment === 'after') await meet();
    },
    get: store.get.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    head: store.head.bind(store),
    [Symbol.asyncDispose]: async () => {},
  };
  return await backupOf(through(made.repository, meeting), { vda: made.disk });
}

test('a session that is fenced right before its manifest lands: the point is void, for everybody and for ever', async () => {
  const made = await story();
  const { repository } = made;
  const meeting = backupMeeting(made, 'before', async () => {
    for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
  });
  await assert.rejects(meeting, (error) => hasCode(error, 'session_fenced'));
  assert.deepEqual((await listPoints({ repository })).points, []);
  const { points } = await listPoints({ repository, states: ['void'] });
  assert.deepEqual(
    points.map(({ state }) => state),
    ['void'],
  );
  const point = points[0]!;
  await assert.rejects(findPoint({ repository, point: point.manifest.id }), (error) =>
    hasCode(error, 'point_not_found'),
  );
  await assert.rejects(restored(repository, point), (error) => hasCode(error, 'point_not_found'));
  assert.deepEqual(await listSessions(repository), []);
  // Who fences again changes nothing.
  await fenceSession(repository, point.manifest.session);
  assert.deepEqual((await listPoints({ repository })).points, []);
  assert.equal((await readVerdict(repository, point.manifest.session)).committed, null);
});

test('a session that is fenced right after its manifest landed has committed, whoever says so first', async () => {
  const made = await story();
  const { repository, disk } = made;
  const { point } = await backupMeeting(made, 'after', async () => {
    for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
  });
  assert.equal((await readVerdict(repository, point.manifest.session)).committed, point.manifest.id);
  await assertRestores(repository, point, { vda: disk });
  assert.equal((await assertVerifies(repository)).length, 1);
});

test('a keeper that listed the points too early finds the verdict of the writer', async () => {
  const made = await story();
  const { repository, disk } = made;
  // The keeper's fence lies there, but it was suspended before its verdict.
  let isDead = false;
  const keeper = faultyStore({
    store: repository.store,
    script: ({ verb, key }) => {
      isDead ||= verb === 'put' && key.endsWith('.verdict');
      return isDead ? { kind: 'crash', when: 'before' } : undefined;
    },
  });
  const { point } = await backupMeeting(made, 'before', async () => {
    for (const { id } of await listSessions(repository)) {
      await assert.rejects(fenceSession(through(repository, keeper), id));
    }
  });
  const { session } = point.manifest;
  assert.deepEqual([...(await listFences({ repository }))], [[session, { settled: true }]]);
  await fenceSession(repository, session);
  await assertRestores(repository, point, { vda: disk });
});

test('while there is a fence and no verdict, the point counts', async () => {
  const made = await story();
  const { repository, disk } = made;
  const { point } = await backupOf(repository, { vda: disk });
  const keeper = faultyStore({
    store: repository.store,
    script: ({ verb, key }): Fault | undefined =>
      verb === 'put' && key.endsWith('.verdict') ? { kind: 'crash', when: 'before' } : undefined,
  });
  await assert.rejects(fenceSession(through(repository, keeper), point.manifest.session));
  assert.equal((await listPoints({ repository })).points.length, 1);
  await assertRestores(repository, point, { vda: disk });
});

test('a manifest whose put failed and that lands late is void, since the backup was declared failed', async () => {
  const { store, repository, disk } = await story();
  const faulty = faultyStore({
    store,
    script: (call) => (isPointPut(call) ? { kind: 'late_put', afterCalls: 1000 } : undefined),
  });
  const failed = backupOf(through(repository, faulty), { vda: disk });
  await assert.rejects(failed, (error) => hasCode(error, 'storage_unreachable'));
  await faulty.landLatePuts();
  assert.deepEqual((await listPoints({ repository })).points, []);
  assert.equal((await listPoints({ repository, states: ['void'] })).points.length, 1);
  assert.deepEqual(await listSessions(repository), []);
});

test('a put of the manifest whose acknowledgement was lost is a success', async () => {
  const { store, repository, disk } = await story();
  const faulty = faultyStore({ store, script: (call) => (isPointPut(call) ? { kind: 'lost_ack' } : undefined) });
  const { point } = await backupOf(through(repository, faulty), { vda: disk });
  await assertRestores(repository, point, { vda: disk });
  assert.equal((await readVerdict(repository, point.manifest.session)).committed, point.manifest.id);
  assert.deepEqual(await listSessions(repository), []);
});

test('an unclear commit on a storage that takes no fence leaves the session, and a fence settles it', async () => {
  const { store, repository, disk } = await story();
  let isGone = false;
  const faulty = faultyStore({
    store,
    script: (call) => {
      if (isPointPut(call)) {
        isGone = true;
        return { kind: 'lost_ack' };
      }
      return isGone ? { kind: 'fail', code: 'storage_unreachable' } : undefined;
    },
  });
  await assert.rejects(backupOf(through(repository, faulty), { vda: disk }), (error) =>
    hasCode(error, 'storage_unreachable'),
  );
  const [left] = await listSessions(repository);
  assert.ok(left);
  await fenceSession(repository, left.id);
  const [point] = await assertVerifies(repository);
  assert.ok(point);
  await assertRestores(repository, point, { vda: disk });
  assert.equal((await readVerdict(repository, left.id)).committed, point.manifest.id);
});
