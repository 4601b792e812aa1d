/** Rules *settle*, *fence* and *settled* for forwardings: what a compaction or heal did whose session was fenced. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode, newId } from '@holdfast/base';
import { faultyStore, type StorageCall } from '@holdfast/testing';
import { CondemnedCheck } from '../backup/condemned-check.ts';
import { Forwardings } from '../pack/forwardings.ts';
import { movePack, packsOf } from '../pack/forwarding-fixture.ts';
import { putQuarantine } from '../pack/quarantine.ts';
import { movedName, movedPrefix, packKey, parseMovedKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { assertRestores, assertVerifies, backupOf, tableUses, through } from '../repository-fixture.ts';
import { listFences, putFence, readVerdict, settleVerdict } from '../session/fences.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { collectNow, collectStory } from './collect-fixture.ts';
import { compact } from './compact.ts';
import { assertKept, removeDeadPacks, type SparseStory, sparseStory } from './compact-fixture.ts';
import { listPacks, Liveness, readForwardings } from './liveness.ts';
import { SlotSets } from './slot-sets.ts';
import { type Moment, suspended } from './suspended-fixture.ts';

const putsForwarding: Moment = ({ verb, key }) => verb === 'put' && key.startsWith(movedPrefix('default'));
const isMovedPut = ({ verb, key }: Pick<StorageCall, 'verb' | 'key'>) => putsForwarding({ verb, key });
const isFenced = (error: unknown) => hasCode(error, 'session_fenced');
const isUnreachable = (error: unknown) => hasCode(error, 'storage_unreachable');

async function fenceAll(repository: Repository): Promise<void> {
  for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
}

function recordsIn({ store }: SparseStory): readonly string[] {
  return [...store.objects().keys()].flatMap((key) => {
    const parsed = parseMovedKey('default', key);
    return parsed ? [movedName(parsed)] : [];
  });
}

/** Of all packs with a record, whether something is forwarded. */
async function forwardedPacks({ repository, store }: SparseStory): Promise<readonly boolean[]> {
  const forwardings = new Forwardings(through(repository, store));
  const packs = [...(await forwardings.packs())];
  return await Promise.all(packs.map(async (packId) => (await forwardings.movesOf(packId)).size > 0));
}

/** Everything goes on: another compaction forwards the same frames, their old packs go, and every point is whole. */
async function assertGoesOn({ repository, store, kept }: SparseStory): Promise<void> {
  await assertKept(through(repository, store), kept);
  const fresh = through(repository, store);
  await removeDeadPacks(fresh);
  await compact({ repository: fresh, thresholdPercent: 90 });
  await removeDeadPacks(fresh);
  await assertKept(through(repository, store), kept);
  await assertVerifies(through(repository, store));
  assert.equal((await compact({ repository: fresh, thresholdPercent: 90, dryRun: true })).packs.count, 0);
}

test('a forwarding that lands after its session was fenced is void, and nobody follows it', async () => {
  const story = await sparseStory();
  const { repository } = story;
  const late = suspended(repository, putsForwarding, async () => {
    await fenceAll(repository);
    // What the forwarding leads to is collected as an orphan.
    assert.ok((await removeDeadPacks(repository)) > 0);
  });
  await assert.rejects(compact({ repository: late, thresholdPercent: 90 }), isFenced);
  assert.ok(recordsIn(story).length > 0);
  assert.deepEqual(
    await forwardedPacks(story),
    recordsIn(story).map(() => false),
  );
  const [[id]] = [...(await listFences({ repository }))] as [[string, unknown]];
  assert.deepEqual((await readVerdict(repository, id)).forwarded, []);
  await assertGoesOn(story);
});

test('a put without an answer that lands late is void: the compaction has fenced itself', async () => {
  const story = await sparseStory();
  const { repository, store } = story;
  let puts = 0;
  const faulty = faultyStore({
    store,
    script: (call) => (isMovedPut(call) && ++puts === 2 ? { kind: 'late_put', afterCalls: 1000 } : undefined),
  });
  await assert.rejects(compact({ repository: through(repository, faulty), thresholdPercent: 90 }), isUnreachable);
  assert.deepEqual(await listSessions(repository), []);
  const before = recordsIn(story);
  assert.equal(before.length, 1);
  await removeDeadPacks(repository);
  await faulty.landLatePuts();
  assert.equal(recordsIn(story).length, 2);
  const [[id]] = [...(await listFences({ repository }))] as [[string, unknown]];
  assert.deepEqual((await readVerdict(repository, id)).forwarded, before);
  assert.deepEqual(new Set(await forwardedPacks(story)), new Set([false, true]));
  await assertGoesOn(story);
});

test('a put that landed although its answer was lost counts, together with all before it', async () => {
  const story = await sparseStory();
  const { repository, store } = story;
  let puts = 0;
  const faulty = faultyStore({
    store,
    script: (call) => (isMovedPut(call) && ++puts === 2 ? { kind: 'lost_ack' } : undefined),
  });
  await assert.rejects(compact({ repository: through(repository, faulty), thresholdPercent: 90 }), isUnreachable);
  const [[id]] = [...(await listFences({ repository }))] as [[string, unknown]];
  assert.deepEqual((await readVerdict(repository, id)).forwarded, recordsIn(story).toSorted());
  assert.equal(recordsIn(story).length, 2);
  assert.deepEqual(await forwardedPacks(story), [true, true]);
  await assertGoesOn(story);
});

test('on a storage that takes no fence either, the session is left for a keeper to fence', async () => {
  const story = await sparseStory();
  const { repository, store } = story;
  let isGone = false;
  const faulty = faultyStore({
    store,
    script: (call) => {
      if (isGone) return { kind: 'fail', code: 'storage_unreachable' };
      if (!isMovedPut(call)) return undefined;
      isGone = true;
      return { kind: 'late_put', afterCalls: 1000 };
    },
  });
  await assert.rejects(compact({ repository: through(repository, faulty), thresholdPercent: 90 }), isUnreachable);
  const [left] = await listSessions(repository);
  assert.equal(left?.role, 'keeper');
  // Until then its new packs are in the making.
  const packs = packsOf(store, 'data').length;
  await collectNow(repository);
  assert.ok(packsOf(store, 'data').length >= packs - 5);
  await fenceSession(repository, left.id);
  await faulty.landLatePuts();
  assert.deepEqual(await forwardedPacks(story), [false]);
  await assertGoesOn(story);
});

test('a compaction that is fenced right after a put says so, and what it had forwarded counts', async () => {
  const story = await sparseStory();
  const { repository, store } = story;
  const faulty = faultyStore({ store });
  const put = faulty.put.bind(faulty);
  faulty.put = async (...call) => {
    await put(...call);
    if (isMovedPut({ verb: 'put', key: call[0] })) await fenceAll(repository);
  };
  await assert.rejects(compact({ repository: through(repository, faulty), thresholdPercent: 90 }), isFenced);
  assert.ok((await forwardedPacks(story)).some(Boolean));
  await assertGoesOn(story);
});

/** A pack of a point, forwarded by a session that is fenced and has no verdict. */
async function openForwarding() {
  const { store, repository, kept } = await collectStory(1);
  const name = Object.keys(await tableUses(repository, kept[0]!.point)).find((one) => one.startsWith('data'));
  const packId = name!.split(' ')[1]!;
  const key = packKey({ domain: 'default', kind: 'data', packId });
  const bytes = await store.get(key);
  const sessionId = newId('ses', repository.clock);
  await movePack(repository, { packId, kind: 'data', sessionId });
  await store.put(key, { buffers: [bytes] });
  await putFence(repository, sessionId);
  const settle = async (forwarded: readonly string[]) =>
    await settleVerdict({ repository, sessionId, verdict: { committed: null, forwarded } });
  /** What a writer may do, a keeper decides, and a reader follows. */
  const look = async () => {
    const check = new CondemnedCheck(repository, new Map([[packId, { moved: true }]]), undefined);
    const census = await listPacks(repository);
    const forwardings = await readForwardings(repository, census);
    const used = new SlotSets(census.count);
    used.add(census.findId(packId), 0);
    const to = await forwardings.lookup({ packId, slot: 0 });
    const liveness = await Liveness.of({ census, used, forwardings, isStaying: (ordinal) => census.isListed(ordinal) });
    return {
      isUsable: await check.isUsable({ packId, kind: 'data', slots: [0] }),
      standing: liveness.standingOf(census.findId(packId)),
      isFollowed: to !== undefined,
    };
  };
  return { store, repository, kept: kept[0]!, packId, sessionId, look, settle };
}

test('while a session is fenced and has no verdict, its forwardings are followed, and nothing is built on them', async () => {
  for (const isNamed of [true, false]) {
    const { packId, look, settle } = await openForwarding();
    assert.deepEqual(await look(), { isUsable: false, standing: 'used', isFollowed: true });
    await settle(isNamed ? [movedName({ packId, number: 1 })] : [movedName({ packId, number: 2 })]);
    const standing = isNamed ? 'moved' : 'used';
    assert.deepEqual(await look(), { isUsable: isNamed, standing, isFollowed: isNamed });
  }
});

test('a backup takes nothing over from its parent that only an open forwarding heals', async () => {
  const { repository, kept, packId, settle } = await openForwarding();
  await putQuarantine({ repository, packId, kind: 'data', slots: 'all', reason: 'damaged' });
  const { point: parent, disk } = kept;
  const next = async () => (await backupOf(repository, { vda: disk }, { parent, changed: { vda: [] } })).point;
  const namesPack = async () =>
    Object.keys(await tableUses(repository, await next())).some((name) => name.includes(packId));
  assert.equal(await namesPack(), false);
  await settle([movedName({ packId, number: 1 })]);
  assert.equal(await namesPack(), true);
});

test('a reader that followed a forwarding before it became void finds the one that came instead', async () => {
  const { store, repository, kept, packId, settle } = await openForwarding();
  const { point, disk } = kept;
  const key = packKey({ domain: 'default', kind: 'data', packId });
  const bytes = await store.get(key);
  await store.delete(key);
  // It knows all records now, one of which leads to a pack that goes.
  await assertRestores(repository, point, { vda: disk });
  const [to] = [...(await new Forwardings(repository).movesOf(packId)).values()];
  await settle([]);
  await store.delete(packKey({ domain: 'default', kind: 'data', packId: to!.packId }));
  await store.put(key, { buffers: [bytes] });
  await movePack(through(repository, store), { packId, kind: 'data' });
  await store.delete(key);
  await assertRestores(repository, point, { vda: disk });
});

test('a collection settles every fence that it finds, also of a session that had ended', async () => {
  const { repository, packId, sessionId, look } = await openForwarding();
  await collectNow(repository);
  assert.deepEqual((await readVerdict(repository, sessionId)).forwarded, [movedName({ packId, number: 1 })]);
  assert.deepEqual((await collectNow(repository)).fencedSessions, []);
  assert.equal((await look()).isFollowed, true);
});

test('a repository without forwardings is not asked for fences by those who look for forwardings', async () => {
  const { store, repository } = await sparseStory();
  const counted = faultyStore({ store });
  const forwardings = new Forwardings(through(repository, counted));
  const packId = 'a'.repeat(64);
  for (let slot = 0; slot < 3; slot += 1) assert.equal(await forwardings.lookup({ packId, slot }), undefined);
  await forwardings.refresh([packId]);
  assert.deepEqual(
    counted.calls.map(({ verb, key }) => `${verb} ${key}`),
    [`list ${movedPrefix('default')}`, `list ${movedPrefix('default', packId)}`],
  );
});
