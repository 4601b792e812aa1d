/** A keeper that dies at any storage call: what was committed and not deleted is whole, and a later run leaves no orphan. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { withRetry } from '@holdfast/storage';
import { type Fault, faultyStore, type MemoryStore, noise, randomFaults, SimulatedCrash } from '@holdfast/testing';
import { listPoints } from '../manifest/points.ts';
import { backupOf, smallChunkBytes, through } from '../repository-fixture.ts';
import type { Repository } from '../repository/repository.ts';
import { fenceSession, listSessions, openReaderSession } from '../session/session.ts';
import { assertKept, assertTidy, collectNow, collectStory, type Kept, removePoint } from './collect-fixture.ts';

type Scene = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  /** What must be there afterwards, and nothing else. */
  readonly kept: readonly Kept[];
};

/** One point is in the trash, and a backup died after it had put packs. */
async function purging(): Promise<Scene> {
  const { store, repository, kept, disk } = await collectStory();
  const crashed = disk.clone();
  crashed.write(noise({ seed: 90, length: 4 * smallChunkBytes }), 0);
  let packs = 0;
  const dying = faultyStore({
    store,
    script: ({ verb, key }) => {
      if (verb === 'put' && key.includes('/data/')) packs += 1;
      return packs === 2 ? { kind: 'crash', when: 'after' } : undefined;
    },
  });
  await assert.rejects(backupOf(through(repository, dying), { vda: crashed }, { resource: 'volumes/b' }));
  await removePoint(repository, kept[1]!.point);
  return { store, repository, kept: [kept[0]!, kept[2]!] };
}

/** An epoch of an earlier run is open, whose packs are used again in part. */
async function carriedOn(): Promise<Scene> {
  const { store, repository, kept } = await collectStory(2);
  const again = kept[1]!.disk.clone();
  let isDone = false;
  const writer = through(repository, {
    capabilities: store.capabilities,
    put: async (key, body, options) => {
      if (!isDone && key.startsWith('d/default/rp/')) {
        isDone = true;
        await removePoint(repository, kept[1]!.point);
        assert.equal((await collectNow(repository)).openEpochs.length, 1);
      }
      await store.put(key, body, options);
    },
    get: store.get.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    head: store.head.bind(store),
    [Symbol.asyncDispose]: async () => {},
  });
  const { point } = await backupOf(writer, { vda: again }, { resource: 'volumes/b' });
  return { store, repository, kept: [kept[0]!, { point, disk: again }] };
}

const fenceAll = { fenceOlderThanMs: -1 };

for (const [what, scene] of Object.entries({ 'a collection': purging, 'one that carries an epoch on': carriedOn })) {
  for (const when of ['before', 'partial', 'after'] as const) {
    test(`${what} that dies at any storage call, ${when}`, async () => {
      const { store: start, repository, kept } = await scene();
      for (let call = 1; ; call += 1) {
        const store = start.clone();
        const dying = faultyStore({
          store,
          script: (request): Fault | undefined => (request.call === call ? { kind: 'crash', when } : undefined),
        });
        const ended = await collectNow(through(repository, dying), fenceAll).catch((error: unknown) => error);
        const survivor = through(repository, store);
        const { points } = await listPoints({ repository: survivor });
        assert.deepEqual(
          points.map(({ key }) => key).sort(),
          kept.map(({ point }) => point.key).sort(),
          `call ${call}`,
        );
        if (call % 3 === 0) await assertKept(survivor, kept);
        if (dying.crashed) assert.ok(ended instanceof SimulatedCrash, String(ended));
        const last = await collectNow(survivor, fenceAll);
        assert.deepEqual(last.openEpochs, []);
        await assertTidy(survivor, store);
        await assertKept(survivor, kept);
        if (!dying.crashed) {
          assert.ok(call > 30, `only ${call} calls`);
          break;
        }
      }
    });
  }
}

test('a fence that dies at any storage call is finished by the next, and the point of its session is what it was', async () => {
  for (const when of ['before', 'partial', 'after'] as const) {
    for (const isCommitted of [true, false]) {
      const { store: start, repository, kept, disk } = await collectStory(1);
      disk.write(noise({ seed: 91, length: 100 }), 0);
      // Its session stays although it has committed, as its end was lost; or it died before.
      const dying = faultyStore({
        store: start,
        script: ({ verb, key }) => {
          const isEnd = isCommitted
            ? verb === 'delete' && key.startsWith('sess/')
            : verb === 'put' && key.includes('/meta/');
          return isEnd ? { kind: 'crash', when: 'before' } : undefined;
        },
      });
      const made = await backupOf(through(repository, dying), { vda: disk }).catch(() => undefined);
      assert.equal(made !== undefined, isCommitted);
      const due = made ? [...kept, { point: made.point, disk }] : kept;
      const [session] = await listSessions(repository);
      assert.ok(session);
      for (let call = 1; ; call += 1) {
        const store = start.clone();
        const keeper = faultyStore({
          store,
          script: (request): Fault | undefined => (request.call === call ? { kind: 'crash', when } : undefined),
        });
        await fenceSession(through(repository, keeper), session.id).catch((error: unknown) => {
          assert.ok(error instanceof SimulatedCrash);
        });
        const survivor = through(repository, store);
        await assertKept(survivor, due);
        await fenceSession(survivor, session.id);
        await collectNow(survivor);
        await assertKept(survivor, due);
        await assertTidy(survivor, store);
        if (!keeper.crashed) break;
      }
    }
  }
});

for (const code of ['storage_denied', 'storage_unreachable', 'storage_full'] as const) {
  test(`${code} at any call of a collection fails it with its code, and loses nothing`, async () => {
    const { store: start, repository, kept } = await purging();
    for (let call = 1; ; call += 1) {
      const store = start.clone();
      const faulty = faultyStore({
        store,
        script: (request): Fault | undefined => (request.call === call ? { kind: 'fail', code } : undefined),
      });
      await collectNow(through(repository, faulty), fenceAll).catch((error: unknown) => {
        assert.ok(hasCode(error, code), `call ${call}: ${String(error)}`);
      });
      const survivor = through(repository, store);
      await collectNow(survivor, fenceAll);
      await assertKept(survivor, kept);
      await assertTidy(survivor, store);
      if (faulty.calls.length < call) break;
    }
  });
}

test('behind the retries, lost calls and lost answers do not disturb a collection', async () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const { store: memory, repository, kept } = await purging();
    const faulty = faultyStore({ store: memory, script: randomFaults({ seed, rate: 0.1 }) });
    const store = withRetry({ store: faulty, sleep: async () => {} });
    const report = await collectNow(through(repository, store), fenceAll);
    assert.deepEqual(report.openEpochs, []);
    await assertKept(repository, kept);
    await assertTidy(repository, memory);
  }
});

test('a run that is stopped stops, and the next one carries on', async () => {
  const { store, repository, kept } = await purging();
  for (const { id } of await listSessions(repository)) await fenceSession(repository, id);
  const reader = await openReaderSession({ repository, point: kept[0]!.point });
  const stop = new AbortController();
  const reason = new Error('stop');
  const run = collectNow(repository, {
    waitMs: 1e9,
    signal: stop.signal,
    sleep: async ({ signal }) => {
      stop.abort(reason);
      signal?.throwIfAborted();
    },
  });
  await assert.rejects(run, reason);
  await reader[Symbol.asyncDispose]();
  assert.ok((await collectNow(repository)).deleted.packs > 0);
  await assertKept(repository, kept);
  await assertTidy(repository, store);
});
