/**
 * A keeper that dies, or is refused, at any storage call: what was committed and not deleted is whole, and a later run leaves
 * no orphan. Every call in every way is for the long run; the short one does each call in one of the ways.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { crashAt, faultsAt, faultyStore, type MemoryStore, noise, SimulatedCrash } from '@holdfast/testing';
import { listPoints } from '../manifest/points.ts';
import { assertRestores, backupOf, smallChunkBytes, through } from '../repository-fixture.ts';
import type { Repository } from '../repository/repository.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { assertTidy, collectNow, collectStory, type Kept, removePoint } from './collect-fixture.ts';

type Scene = {
  readonly store: MemoryStore;
  readonly repository: Repository;
  /** What must be there afterwards, and nothing else. */
  readonly kept: readonly Kept[];
};

/** One point is in the trash, and a backup died after it had put packs. */
export async function purging(): Promise<Scene> {
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

export const fenceAll = { fenceOlderThanMs: -1 };

const ways = ['before', 'partial', 'after'] as const;
const codes = ['storage_denied', 'storage_unreachable', 'storage_full'] as const;

export type CrashRuns = { readonly every: 'way' | 'call' };

/** Whether this call is made in this way. */
function isDue(runs: CrashRuns, call: number, way: number): boolean {
  return runs.every === 'way' || call % 3 === way;
}

export function testCollectCrashes(runs: CrashRuns): void {
  for (const [what, scene] of Object.entries({ 'a collection': purging, 'one that carries an epoch on': carriedOn })) {
    for (const [way, when] of ways.entries()) {
      test(`${what} that dies at any storage call, ${when}`, async () => {
        const { store: start, repository, kept } = await scene();
        for (let call = 1; ; call += 1) {
          if (!isDue(runs, call, way)) continue;
          const store = start.clone();
          const dying = faultyStore({ store, script: crashAt(call, when) });
          const ended = await collectNow(through(repository, dying), fenceAll).catch((error: unknown) => error);
          const survivor = through(repository, store);
          await assertRestored(survivor, kept);
          if (dying.crashed) assert.ok(ended instanceof SimulatedCrash, String(ended));
          const last = await collectNow(survivor, fenceAll);
          assert.deepEqual(last.openEpochs, []);
          await assertTidy(survivor, store);
          await assertRestored(survivor, kept);
          if (!dying.crashed) {
            assert.ok(call > 30, `only ${call} calls`);
            break;
          }
        }
      });
    }
  }

  for (const [way, code] of codes.entries()) {
    test(`${code} at any call of a collection fails it with its code, and loses nothing`, async () => {
      const { store: start, repository, kept } = await purging();
      for (let call = 1; ; call += 1) {
        if (!isDue(runs, call, way)) continue;
        const store = start.clone();
        const faulty = faultyStore({ store, script: faultsAt({ [call]: { kind: 'fail', code } }) });
        await collectNow(through(repository, faulty), fenceAll).catch((error: unknown) => {
          assert.ok(hasCode(error, code), `call ${call}: ${String(error)}`);
        });
        const survivor = through(repository, store);
        await collectNow(survivor, fenceAll);
        await assertTidy(survivor, store);
        await assertRestored(survivor, kept);
        if (faulty.calls.length < call) break;
      }
    });
  }

  for (const isCommitted of [true, false]) {
    test(`a fence that dies at any storage call, of a session that ${isCommitted ? 'has' : 'has not'} committed`, async () => {
      const { start, repository, due, session } = await deadSession(isCommitted);
      for (const [way, when] of ways.entries()) {
        for (let call = 1; ; call += 1) {
          if (!isDue(runs, call, way)) continue;
          const store = start.clone();
          const keeper = faultyStore({ store, script: crashAt(call, when) });
          await fenceSession(through(repository, keeper), session).catch((error: unknown) => {
            assert.ok(error instanceof SimulatedCrash);
          });
          const survivor = through(repository, store);
          await assertRestored(survivor, due);
          await fenceSession(survivor, session);
          await collectNow(survivor);
          await assertTidy(survivor, store);
          await assertRestored(survivor, due);
          if (!keeper.crashed) break;
        }
      }
    });
  }
}

/** A session that stays although it has committed, as its end was lost; or that died before. */
async function deadSession(isCommitted: boolean) {
  const { store: start, repository, kept, disk } = await collectStory(1);
  disk.write(noise({ seed: 91, length: 100 }), 0);
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
  const [session] = await listSessions(repository);
  assert.ok(session);
  return { start, repository, due: made ? [...kept, { point: made.point, disk }] : kept, session: session.id };
}

/** Exactly these points are listed, and each comes back byte for byte. */
async function assertRestored(repository: Repository, kept: readonly Kept[]): Promise<void> {
  const { points } = await listPoints({ repository });
  assert.deepEqual(points.map(({ key }) => key).sort(), kept.map(({ point }) => point.key).sort());
  for (const { point, disk } of kept) await assertRestores(repository, point, { vda: disk });
}
