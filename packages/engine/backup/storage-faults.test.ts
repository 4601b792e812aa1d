/** A storage that fails: the backup fails with the storage's own code, lists nothing, leaves nothing in flight. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError, hasCode } from '@holdfast/base';
import { withRetry } from '@holdfast/storage';
import {
  type Fault,
  type FaultyStore,
  faultyStore,
  MemoryDisk,
  noise,
  randomFaults,
  type StorageFailure,
} from '@holdfast/testing';
import { listPoints } from '../manifest/points.ts';
import {
  assertRestores,
  assertVerifies,
  backupOf,
  newRepository,
  restored,
  smallChunkBytes,
  through,
} from '../repository-fixture.ts';
import { fencesPrefix, sessionsPrefix } from '../repository/layout.ts';
import { fenceSession, listSessions } from '../session/session.ts';
import { verifyRepository } from '../verify/verify-repository.ts';

const chunk = smallChunkBytes;
const packBytes = 3 * chunk;

/** A repository with one point, and a backup of the changed disk that begins now. */
async function story() {
  const { store, repository } = await newRepository({ packBytes });
  const disk = new MemoryDisk(8 * chunk);
  disk.write(noise({ seed: 1, length: 6 * chunk }), chunk);
  const { point } = await backupOf(repository, { vda: disk });
  const before = disk.clone();
  disk.write(noise({ seed: 2, length: 3 * chunk }), 2 * chunk);
  return { store, repository, point, before, disk };
}

async function settled(store: FaultyStore): Promise<void> {
  const begun = store.calls.length;
  await delay(1);
  assert.equal(store.calls.length, begun, 'something was still in flight');
}

for (const code of ['storage_full', 'storage_denied', 'storage_unreachable'] satisfies StorageFailure[]) {
  for (const [how, hits] of Object.entries({
    once: (call: number, at: number) => call === at,
    'from then on': (call: number, at: number) => call >= at,
  })) {
    test(`${code} at any call of a backup, ${how}`, async () => {
      const { store: start, repository, point, before, disk } = await story();
      let failures = 0;
      for (let at = 1; ; at += 1) {
        const memory = start.clone();
        const script = ({ call }: { readonly call: number }): Fault | undefined =>
          hits(call, at) ? { kind: 'fail', code } : undefined;
        const store = faultyStore({ store: memory, script });
        const real = through(repository, memory);
        try {
          const outcome = await backupOf(through(repository, store), { vda: disk });
          await assertRestores(real, outcome.point, { vda: disk });
        } catch (error) {
          failures += 1;
          assert.ok(hasCode(error, code), `call ${at} (${store.calls[at - 1]?.verb}): ${String(error)}`);
          const failed = (verb: string, prefix: string) =>
            store.calls.some((one) => one.verb === verb && one.fault && one.key.startsWith(prefix));
          // A commit that is unclear, on a storage that takes no fence either, is for a keeper to settle.
          const isUnclear = failed('put', fencesPrefix);
          if (!isUnclear && !failed('delete', sessionsPrefix)) {
            assert.deepEqual(await listSessions(real), [], `call ${at}`);
          }
          for (const { id } of await listSessions(real)) await fenceSession(real, id);
          const { points } = await listPoints({ repository: real });
          for (const one of points) await assertRestores(real, one, { vda: one.key === point.key ? before : disk });
          if (!isUnclear) assert.equal(points.length, 1);
        }
        await settled(store);
        await assertRestores(real, point, { vda: before });
        if (store.calls.length < at) break;
      }
      assert.ok(failures > 6, `${failures} calls failed the backup`);
    });
  }
}

test('a lost acknowledgement at any call leaves whole points only', async () => {
  const { store: start, repository, disk, before, point } = await story();
  for (let at = 1; ; at += 1) {
    const memory = start.clone();
    const store = faultyStore({
      store: memory,
      script: ({ call }) => (call === at ? { kind: 'lost_ack' } : undefined),
    });
    const real = through(repository, memory);
    await backupOf(through(repository, store), { vda: disk }).catch((error: unknown) => {
      assert.ok(hasCode(error, 'storage_unreachable'), String(error));
    });
    for (const one of await assertVerifies(real)) {
      await assertRestores(real, one, { vda: one.key === point.key ? before : disk });
    }
    assert.deepEqual(await listSessions(real), [], `call ${at}`);
    if (store.calls.length < at) break;
  }
});

test('behind the retries, a storage that loses every tenth call or its answer does not disturb a backup', async () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const { store: memory, repository, disk } = await story();
    const faulty = faultyStore({ store: memory, script: randomFaults({ seed, rate: 0.1 }) });
    const sleep = async () => {};
    const store = withRetry({ store: faulty, sleep });
    const { point } = await backupOf(through(repository, store), { vda: disk });
    const real = through(repository, memory);
    await assertRestores(real, point, { vda: disk });
    assert.equal((await assertVerifies(real)).length, 2);
    assert.deepEqual(await listSessions(real), []);
  }
});

test('a restore and a verify on a failing storage fail with its code', async () => {
  const { store: memory, repository, point } = await story();
  for (const run of [
    async (at: FaultyStore) => void (await restored(through(repository, at), point)),
    async (at: FaultyStore) => void (await verifyRepository({ repository: through(repository, at), scope: 'scrub' })),
  ]) {
    for (let at = 1; ; at += 1) {
      const store = faultyStore({
        store: memory.clone(),
        script: ({ call }) => (call === at ? { kind: 'fail', code: 'storage_unreachable' } : undefined),
      });
      await run(store).catch((error: unknown) => {
        assert.ok(error instanceof HoldfastError && error.code === 'storage_unreachable', String(error));
      });
      if (store.calls.length < at) break;
    }
  }
});
