/** Real parallel connections: what holds for one caller holds for many at once. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError, hasCode, systemClock, toProblem } from '@holdfast/base';
import { sqlState } from '@holdfast/database';
import { seededRandom } from '@holdfast/testing';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { sql } from 'kysely';
import { cancelOperation, fenceOperation } from './end-operation.ts';
import { finishTask, reportProgress } from './report-task.ts';
import { setCapacity } from './set-capacity.ts';
import { admit, benchOf, checkInvariants, claim, makeAccount, snapshotOf } from './work-fixture.ts';
import type { WorkContext } from './work-context.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const success = { kind: 'succeeded', result: {} } as const;
const problem = toProblem(new HoldfastError('storage_full', 'full'));

function fulfilled<Value>(outcomes: readonly PromiseSettledResult<Value>[]): readonly Value[] {
  return outcomes.filter((outcome) => outcome.status === 'fulfilled').map(({ value }) => value);
}

function reasons(outcomes: readonly PromiseSettledResult<unknown>[]): readonly unknown[] {
  return outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }): unknown => reason);
}

test('of many who want the same volume one has it, the others are told', async () => {
  await using database = await server.makeDatabase({ connections: 16 });
  const bench = benchOf(database);
  const account = await makeAccount(bench, 100);
  const wishes = Array.from({ length: 120 }, (_, index) => `vol_${index % 10}`);
  const outcomes = await Promise.allSettled(wishes.map((volume) => admit(bench, snapshotOf(account, volume))));
  assert.equal(fulfilled(outcomes).length, 10);
  for (const reason of reasons(outcomes)) assert.ok(hasCode(reason, 'volume_busy'), String(reason));
  await checkInvariants(bench);
});

test('instances with common volumes, locked in any order: no deadlock, each has all of its volumes or none', async () => {
  await using database = await server.makeDatabase({ connections: 16 });
  const bench = benchOf(database);
  const account = await makeAccount(bench, 1000);
  const random = seededRandom(7);
  const instances = Array.from({ length: 100 }, () => {
    const volumes = [...new Set(Array.from({ length: 4 }, () => `vol_${Math.floor(random() * 12)}`))];
    const locks = volumes.map((resource) => ({ resource, mode: 'exclusive' as const }));
    return snapshotOf(account, '', { resources: volumes, locks });
  });
  const outcomes = await Promise.allSettled(instances.map((admission) => admit(bench, admission)));
  assert.ok(fulfilled(outcomes).length > 0);
  for (const reason of reasons(outcomes)) assert.ok(hasCode(reason, 'volume_busy'), String(reason));
  await checkInvariants(bench);
});

test('of many users of one account exactly as many are let in as may be in flight', async () => {
  await using database = await server.makeDatabase({ connections: 16 });
  const bench = benchOf(database);
  const accounts = await Promise.all([makeAccount(bench, 3), makeAccount(bench, 5)]);
  const outcomes = await Promise.allSettled(
    Array.from({ length: 80 }, (_, index) => admit(bench, snapshotOf(accounts[index % 2]!, `vol_${index}`))),
  );
  assert.equal(fulfilled(outcomes).length, 8);
  for (const reason of reasons(outcomes)) assert.ok(hasCode(reason, 'inflight_limit_reached'), String(reason));
  await checkInvariants(bench);
});

test('many workers: each task to one of them, capacities kept at every moment, all done in the end', async () => {
  await using database = await server.makeDatabase({ connections: 16 });
  const bench = benchOf(database);
  const account = await makeAccount(bench, 1000);
  await setCapacity(bench, { key: 'storage/s', slots: 5 });
  for (const host of [0, 1, 2]) await setCapacity(bench, { key: `host/${host}`, slots: 3 });
  const tasks = 240;
  await Promise.all(
    Array.from({ length: tasks }, (_, index) => {
      const keys = [`host/${index % 3}`, ...(index % 2 === 0 ? ['storage/s'] : [])];
      const step = { kind: 'take', queue: `agent/${index % 3}`, capacityKeys: keys, payload: {} };
      return admit(bench, snapshotOf(account, `vol_${index}`, { steps: [step] }));
    }),
  );
  const handedOut: string[] = [];
  let done = 0;
  const work = async (number: number): Promise<void> => {
    while (done < tasks) {
      const holder = `session-${number}`;
      const claimed = await claim(bench, { queues: [`agent/${number % 3}`], holder, limit: 2 });
      if (claimed.length === 0) await delay(5);
      for (const task of claimed) {
        handedOut.push(task.taskId);
        await finishTask(bench, { ...task, holder }, success);
        done += 1;
      }
    }
  };
  const watch = async (): Promise<void> => {
    while (done < tasks) await checkInvariants(bench);
  };
  await Promise.all([...Array.from({ length: 12 }, (_, number) => work(number)), watch()]);
  assert.equal(handedOut.length, tasks);
  assert.equal(new Set(handedOut).size, tasks);
  await checkInvariants(bench);
});

test('users, workers, cancels, fences and broken connections all at once: the invariants hold at every moment', async () => {
  await using database = await server.makeDatabase({ connections: 20 });
  const bench: WorkContext = { db: database.db, clock: systemClock };
  const accounts = await Promise.all([makeAccount(bench, 3), makeAccount(bench, 3)]);
  await setCapacity(bench, { key: 'storage/s', slots: 2 });
  const random = seededRandom(11);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const held = new Map<string, string>();
  const startMs = performance.now();
  let admitted = 0;
  let finished = 0;
  let broken = 0;

  /** Six seconds, and longer where the machine has much else to do. */
  const isOver = (): boolean => {
    const elapsedMs = performance.now() - startMs;
    return elapsedMs > 60_000 || (elapsedMs > 6000 && admitted > 50 && finished > 50 && broken > 20);
  };

  const user = async (): Promise<void> => {
    const volumes = [...new Set([pick([1, 2, 3, 4, 5, 6, 7, 8]), pick([1, 2, 3, 4, 5, 6, 7, 8])])].map(
      (n) => `vol_${n}`,
    );
    const step = { kind: 'take', queue: 'agent/a', capacityKeys: pick([[], ['storage/s']]), payload: {} };
    await admit(bench, {
      ...snapshotOf(pick(accounts), ''),
      resources: volumes,
      locks: volumes.map((resource) => ({ resource, mode: 'exclusive' as const })),
      cooldown: { isObeyed: true, resources: volumes, successMs: pick([0, 20]), failureMs: 5 },
      steps: pick([[step], [step, step]]),
    });
    admitted += 1;
  };
  const worker = async (holder: string): Promise<void> => {
    for (const task of await claim(bench, { holder, limit: 2 })) {
      const reference = `${task.taskId} ${task.epoch}`;
      // Handed out again to the same holder after a broken connection; never to another.
      assert.equal(held.get(reference) ?? holder, holder);
      held.set(reference, holder);
      await delay(random() * 10);
      const report = { progress: { phase: 'transfer', bytesDone: Math.floor(random() * 100), bytesTotal: 100 } };
      const { cancelRequested } = await reportProgress(bench, { ...task, holder }, report);
      const outcome = cancelRequested
        ? ({ kind: 'canceled' } as const)
        : pick([success, success, { kind: 'failed', error: problem } as const]);
      await finishTask(bench, { ...task, holder }, outcome);
      finished += 1;
    }
  };
  const meddler = async (): Promise<void> => {
    await delay(random() * 20);
    const row = await bench.db.selectFrom('operation').select('id').where('finished_at', 'is', null).executeTakeFirst();
    if (row === undefined) return;
    if (random() < 0.5) await cancelOperation(bench, row.id);
    else await fenceOperation(bench, row.id, problem);
  };
  const breaker = async (): Promise<void> => {
    await delay(50);
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() order by random() limit 2`.execute(bench.db);
    broken += 1;
  };
  const again = async (deed: () => Promise<void>): Promise<void> => {
    while (!isOver()) {
      await deed().catch((error: unknown) => {
        const expected = hasCode(
          error,
          'volume_busy',
          'cooldown_active',
          'inflight_limit_reached',
          'task_fenced',
          'operation_ended',
          'database_unreachable',
        );
        assert.ok(expected, `${String(error)} ${sqlState(error) ?? ''}`);
      });
      await delay(random() * 3);
    }
  };
  await Promise.all([
    ...Array.from({ length: 6 }, () => again(user)),
    ...Array.from({ length: 6 }, (_, number) => again(() => worker(`session-${number}`))),
    again(meddler),
    again(breaker),
    again(() => checkInvariants(bench)),
  ]);
  await checkInvariants(bench);
  assert.ok(admitted > 50 && finished > 50 && broken > 20, JSON.stringify({ admitted, finished, broken }));

  const left = await bench.db.selectFrom('operation').select('id').where('finished_at', 'is', null).execute();
  for (const { id } of left) await fenceOperation(bench, id, problem);
  await checkInvariants(bench);
  const locks = await bench.db.selectFrom('resource_lock').selectAll().execute();
  assert.deepEqual(locks, []);
});
