import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { HoldfastError, hasCode, type Problem, toProblem } from '@holdfast/base';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { sql } from 'kysely';
import { claimTasks } from './claim-tasks.ts';
import { cancelOperation, fenceHolder, fenceOperation, sweepOperations } from './end-operation.ts';
import { finishTask, reportProgress, type TaskReference } from './report-task.ts';
import { setCapacity } from './set-capacity.ts';
import { claimWhenThere, WorkBell } from './wait-for-work.ts';
import {
  admit,
  benchOf,
  checkInvariants,
  claim,
  claimOne,
  everything,
  makeAccount,
  operationOf,
  snapshotOf,
} from './work-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const minute = 60_000;
const problem: Problem = toProblem(new HoldfastError('storage_full', 'The storage is full.'));
const progress = (bytesDone: number) => ({ progress: { phase: 'transfer', bytesDone, bytesTotal: 100 } });
const success = { kind: 'succeeded', result: { snapshot: 'snp_1' } } as const;

test('admitted, claimed, reported, finished: the state at each moment, and nothing is held afterwards', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench);
  const id = await admit(bench, snapshotOf(account, 'vol_1'));
  assert.equal((await operationOf(bench, id)).state, 'queued');
  await checkInvariants(bench);
  const task = await claimOne(bench);
  assert.deepEqual([task.operationId, task.kind, task.payload, task.epoch], [id, 'take', { volume: 'vol_1' }, 1]);
  await checkInvariants(bench);
  assert.deepEqual(await reportProgress(bench, task, progress(40)), { cancelRequested: false });
  const running = await operationOf(bench, id);
  assert.deepEqual(
    [running.state, running.phase, running.bytes_done, running.bytes_total],
    ['running', 'transfer', 40, 100],
  );
  await finishTask(bench, task, success);
  const done = await operationOf(bench, id);
  assert.deepEqual([done.state, done.result, done.error], ['succeeded', { snapshot: 'snp_1' }, null]);
  assert.deepEqual(await database.db.selectFrom('resource_lock').selectAll().execute(), []);
  await checkInvariants(bench);
  assert.deepEqual(await claim(bench), []);
});

test('what a worker tells on the way is kept in its order', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const id = await admit(bench, snapshotOf(await makeAccount(bench), 'vol_1'));
  const task = await claimOne(bench);
  const levels = ['info', 'warning', 'error'] as const;
  const log = Array.from({ length: 9 }, (_, index) => ({ level: levels[index % 3]!, message: `line ${index}` }));
  await reportProgress(bench, task, { ...progress(1), log: log.slice(0, 4) });
  await reportProgress(bench, task, { ...progress(2), log: log.slice(4) });
  const lines = await database.db
    .selectFrom('operation_log')
    .select(['level', 'message'])
    .where('operation_id', '=', id)
    .orderBy('position')
    .execute();
  assert.deepEqual(lines, log);
});

test('a busy volume, a resting volume and a full account are refused in the words of the seeds, and leave nothing', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 2);
  await admit(bench, snapshotOf(account, 'vol_1'));
  let unchanged = await everything(bench);
  await assert.rejects(admit(bench, snapshotOf(account, 'vol_1', { type: 'backup' })), (error) => {
    assert.ok(hasCode(error, 'volume_busy'));
    assert.equal(error.message, 'Volume is busy with operation: snapshot');
    return true;
  });
  assert.deepEqual(await everything(bench), unchanged);

  await admit(bench, snapshotOf(account, 'vol_2'));
  unchanged = await everything(bench);
  await assert.rejects(admit(bench, snapshotOf(account, 'vol_3')), (error) => {
    assert.ok(hasCode(error, 'inflight_limit_reached'));
    assert.equal((error.facts['operations'] as readonly string[]).length, 2);
    return true;
  });
  assert.deepEqual(await everything(bench), unchanged);

  for (const task of await claim(bench)) await finishTask(bench, { ...task, holder: 'session-1' }, success);
  await bench.clock.advance(100_500);
  await assert.rejects(admit(bench, snapshotOf(account, 'vol_1')), (error) => {
    assert.ok(hasCode(error, 'cooldown_active'));
    assert.equal(error.message, 'Volume is in cooldown. Try again in 200 seconds.');
    return true;
  });
  await bench.clock.advance(199_500);
  await admit(bench, snapshotOf(account, 'vol_1'));
});

test('after a failure or a cancel a volume rests for the shorter time', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench);
  await admit(bench, snapshotOf(account, 'vol_1'));
  await finishTask(bench, await claimOne(bench), { kind: 'failed', error: problem });
  await bench.clock.advance(29_999);
  await assert.rejects(admit(bench, snapshotOf(account, 'vol_1')), (error) => hasCode(error, 'cooldown_active'));
  await bench.clock.advance(1);
  const id = await admit(bench, snapshotOf(account, 'vol_1'));
  assert.equal(await cancelOperation(bench, id), 'canceled');
  await assert.rejects(admit(bench, snapshotOf(account, 'vol_1')), (error) => hasCode(error, 'cooldown_active'));
});

test("the scheduler's work passes cooldown and limit, not locks", async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 0);
  const scheduled = (volume: string) => {
    const admission = snapshotOf(account, volume, { isUserWork: false, startedBy: null });
    return { ...admission, cooldown: { ...admission.cooldown, isObeyed: false, resources: [] } };
  };
  await admit(bench, scheduled('vol_1'));
  await assert.rejects(admit(bench, scheduled('vol_1')), (error) => hasCode(error, 'volume_busy'));
  await assert.rejects(admit(bench, snapshotOf(account, 'vol_2')), (error) => hasCode(error, 'inflight_limit_reached'));
});

test('readers share a resource with each other and with no writer', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 10);
  const reading = (target: string) =>
    snapshotOf(account, target, {
      resources: [target, 'bkp_1'],
      locks: [
        { resource: target, mode: 'exclusive' },
        { resource: 'bkp_1', mode: 'read' },
      ],
    });
  await admit(bench, reading('vol_1'));
  await admit(bench, reading('vol_2'));
  await assert.rejects(admit(bench, snapshotOf(account, 'bkp_1')), (error) => hasCode(error, 'resource_busy'));
  await checkInvariants(bench);
  for (const task of await claim(bench)) await finishTask(bench, { ...task, holder: 'session-1' }, success);
  await admit(bench, snapshotOf(account, 'bkp_1'));
  await assert.rejects(admit(bench, reading('vol_3')), (error) => hasCode(error, 'resource_busy'));
});

test('all locks of an instance or none', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 10);
  await admit(bench, snapshotOf(account, 'vol_2'));
  const volumes = ['vol_3', 'vol_1', 'vol_2'];
  const instance = snapshotOf(account, '', {
    resources: volumes,
    locks: volumes.map((resource) => ({ resource, mode: 'exclusive' as const })),
  });
  await assert.rejects(admit(bench, instance), (error) => hasCode(error, 'volume_busy'));
  await admit(bench, snapshotOf(account, 'vol_1'));
  await admit(bench, snapshotOf(account, 'vol_3'));
});

test('a task with an old epoch, or of another holder, can write nothing', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench);
  const id = await admit(bench, snapshotOf(account, 'vol_1'));
  const task = await claimOne(bench);
  const unchangedBy = async (reference: TaskReference): Promise<void> => {
    const unchanged = await everything(bench);
    const attempts = [
      () => reportProgress(bench, reference, { ...progress(99), log: [{ level: 'info', message: 'still here' }] }),
      () => finishTask(bench, reference, success),
      () => finishTask(bench, reference, { kind: 'failed', error: problem }),
      () => finishTask(bench, reference, { kind: 'canceled' }),
    ];
    for (const attempt of attempts) await assert.rejects(attempt(), (error) => hasCode(error, 'task_fenced'));
    assert.deepEqual(await everything(bench), unchanged);
  };
  await unchangedBy({ ...task, epoch: 0 });
  await unchangedBy({ ...task, epoch: 2 });
  await unchangedBy({ ...task, holder: 'session-2' });
  await unchangedBy({ ...task, taskId: 'task_unknown' });
  await fenceOperation(bench, id, problem);
  assert.equal((await operationOf(bench, id)).state, 'failed');
  await unchangedBy(task);
  await bench.clock.advance(30_000);
  await admit(bench, snapshotOf(account, 'vol_1'));
  await unchangedBy(task);
});

test('an end that is told twice counts once', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const id = await admit(bench, snapshotOf(await makeAccount(bench), 'vol_1'));
  const task = await claimOne(bench);
  await finishTask(bench, task, success);
  const unchanged = await everything(bench);
  await finishTask(bench, task, success);
  await assert.rejects(finishTask(bench, task, { kind: 'failed', error: problem }), (error) =>
    hasCode(error, 'task_fenced'),
  );
  assert.deepEqual(await everything(bench), unchanged);
  assert.equal((await operationOf(bench, id)).state, 'succeeded');
});

test('steps follow each other, each with a task and an epoch of its own; the old one is void', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench);
  const steps = ['agent/a', 'keeper/k'].map((queue) => ({ kind: queue, queue, capacityKeys: [queue], payload: {} }));
  const id = await admit(bench, snapshotOf(account, 'vol_1', { steps }));
  const first = await claimOne(bench);
  await finishTask(bench, first, { kind: 'succeeded', result: { packs: 7 } });
  await checkInvariants(bench);
  assert.equal((await operationOf(bench, id)).state, 'running');
  assert.deepEqual(await claim(bench), []);
  const [second] = await claim(bench, { queues: ['keeper/k'], holder: 'keeper-1' });
  assert.deepEqual([second?.kind, second?.epoch], ['keeper/k', 2]);
  await finishTask(bench, first, { kind: 'succeeded', result: { packs: 7 } });
  await assert.rejects(reportProgress(bench, first, progress(1)), (error) => hasCode(error, 'task_fenced'));
  await finishTask(bench, { ...second!, holder: 'keeper-1' }, success);
  assert.equal((await operationOf(bench, id)).state, 'succeeded');
  const { rows } = await sql`select state, result from operation_step order by position`.execute(database.db);
  assert.deepEqual(rows, [
    { state: 'succeeded', result: { packs: 7 } },
    { state: 'succeeded', result: null },
  ]);
});

test('cancel: the worker hears of it; it may stop, or succeed all the same; a next step is not begun', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 10);
  const outcomes = [
    [{ kind: 'canceled' }, 1, 'canceled'],
    [success, 1, 'succeeded'],
    [success, 2, 'canceled'],
  ] as const;
  for (const [outcome, steps, state] of outcomes) {
    const volume = `vol_${outcome.kind}${steps}`;
    const step = { kind: 'take', queue: 'agent/a', capacityKeys: [], payload: {} };
    const id = await admit(bench, snapshotOf(account, volume, { steps: Array.from({ length: steps }, () => step) }));
    const task = await claimOne(bench);
    assert.equal(await cancelOperation(bench, id), 'canceling');
    assert.equal(await cancelOperation(bench, id), 'canceling');
    assert.deepEqual(await reportProgress(bench, task, progress(1)), { cancelRequested: true });
    await finishTask(bench, task, outcome);
    assert.equal((await operationOf(bench, id)).state, state);
    await assert.rejects(cancelOperation(bench, id), (error) => hasCode(error, 'operation_ended'));
    await checkInvariants(bench);
  }
  await assert.rejects(cancelOperation(bench, 'op_none'), (error) => hasCode(error, 'operation_not_found'));
});

test('a task whose handing out got lost is handed out again to the same session, and to no other', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  await admit(bench, snapshotOf(await makeAccount(bench), 'vol_1'));
  const task = await claimOne(bench);
  const { holder: _, ...plain } = task;
  assert.deepEqual(await claim(bench, { known: [task.taskId] }), []);
  assert.deepEqual(await claim(bench, { holder: 'session-2' }), []);
  assert.deepEqual(await claim(bench, { known: [] }), [plain]);
  assert.deepEqual(await claim(bench, { known: [], limit: 0 }), [plain]);
});

test('what a worker held in its last life is taken back at its next start, after what it can still prove', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 10);
  const proven = await admit(bench, snapshotOf(account, 'vol_1'));
  const first = await claimOne(bench, 'life-1');
  const dropped = await admit(bench, snapshotOf(account, 'vol_2'));
  await claimTasks(bench, { queues: ['agent/a'], holder: 'life-1', limit: 1, known: [first.taskId] });
  const others = await admit(bench, snapshotOf(account, 'vol_3'));
  await claimOne(bench, 'other-host');
  await finishTask(bench, first, success);
  assert.deepEqual(await fenceHolder(bench, 'life-1', problem), [dropped]);
  const states = await Promise.all([proven, dropped, others].map((id) => operationOf(bench, id)));
  assert.deepEqual(
    states.map(({ state }) => state),
    ['succeeded', 'failed', 'running'],
  );
  assert.deepEqual(await fenceHolder(bench, 'life-1', problem), []);
  await checkInvariants(bench);
});

test('stuck: silent for ten minutes it is stalled, heard again it runs; silent for five more it is fenced and everything is free', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench);
  const id = await admit(bench, snapshotOf(account, 'vol_1'));
  const task = await claimOne(bench);
  const none = { stalled: [], fenced: [] };
  await bench.clock.advance(10 * minute - 1);
  assert.deepEqual(await sweepOperations(bench), none);
  await bench.clock.advance(1);
  assert.deepEqual(await sweepOperations(bench), { stalled: [id], fenced: [] });
  assert.deepEqual(await sweepOperations(bench), none);
  assert.equal((await operationOf(bench, id)).state, 'stalled');
  await checkInvariants(bench);
  await reportProgress(bench, task, progress(1));
  assert.equal((await operationOf(bench, id)).state, 'running');
  await bench.clock.advance(10 * minute);
  await sweepOperations(bench);
  await bench.clock.advance(5 * minute - 1);
  assert.deepEqual(await sweepOperations(bench), none);
  await bench.clock.advance(1);
  assert.deepEqual(await sweepOperations(bench), { stalled: [], fenced: [id] });
  const lost = await operationOf(bench, id);
  assert.deepEqual([lost.state, (lost.error as Problem).code, lost.epoch], ['failed', 'worker_lost', 2]);
  await checkInvariants(bench);
  await assert.rejects(reportProgress(bench, task, progress(2)), (error) => hasCode(error, 'task_fenced'));
});

test('heard and without progress for two hours it is stalled, stays so, and is fenced; with progress it goes on', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench);
  const id = await admit(bench, snapshotOf(account, 'vol_1'));
  const task = await claimOne(bench);
  const hear = async (minutes: number, bytes: number): Promise<string> => {
    for (let each = 0; each < minutes; each += 5) {
      await bench.clock.advance(5 * minute);
      await reportProgress(bench, task, progress(bytes));
    }
    await sweepOperations(bench);
    return (await operationOf(bench, id)).state;
  };
  assert.equal(await hear(115, 1), 'running');
  assert.equal(await hear(115, 2), 'running');
  assert.equal(await hear(10, 2), 'stalled');
  assert.equal(await hear(5, 3), 'running');
  assert.equal(await hear(120, 3), 'stalled');
  assert.equal(await hear(5, 3), 'failed');
});

test('what waits for a worker is not stuck', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  await admit(bench, snapshotOf(await makeAccount(bench), 'vol_1'));
  await bench.clock.advance(100 * 60 * minute);
  assert.deepEqual(await sweepOperations(bench), { stalled: [], fenced: [] });
});

test('capacities: full ones hold up their own tasks only, however many wait in front', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 100);
  await setCapacity(bench, { key: 'storage/slow', slots: 2 });
  await setCapacity(bench, { key: 'storage/off', slots: 0 });
  const on = (volume: string, key: string) =>
    admit(
      bench,
      snapshotOf(account, volume, {
        steps: [{ kind: 'take', queue: 'agent/a', capacityKeys: [key], payload: { key } }],
      }),
    );
  for (let n = 0; n < 40; n += 1) await on(`vol_s${n}`, n % 2 === 0 ? 'storage/slow' : 'storage/off');
  await on('vol_free', 'storage/without limit');
  const tasks = await claim(bench, { limit: 20 });
  const later = await claim(bench, { limit: 20, known: tasks.map(({ taskId }) => taskId) });
  const keys = [...tasks, ...later].map(({ payload }) => (payload as { key: string }).key);
  assert.deepEqual(keys.toSorted(), ['storage/slow', 'storage/slow', 'storage/without limit']);
  await checkInvariants(bench);
  await setCapacity(bench, { key: 'storage/slow', slots: 1 });
  await finishTask(bench, { ...tasks[0]!, holder: 'session-1' }, success);
  assert.deepEqual(await claim(bench, { known: [...tasks, ...later].map(({ taskId }) => taskId) }), []);
});

test('higher priority goes first, then the older', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 100);
  for (const [volume, priority] of [
    ['vol_1', 0],
    ['vol_2', 5],
    ['vol_3', 0],
    ['vol_4', 5],
  ] as const) {
    await admit(bench, snapshotOf(account, volume, { priority }));
    await bench.clock.advance(1);
  }
  const tasks = await claim(bench);
  assert.deepEqual(
    tasks.map(({ payload }) => (payload as { volume: string }).volume),
    ['vol_2', 'vol_4', 'vol_1', 'vol_3'],
  );
});

test('what happens with a change of state happens with it or not at all', async () => {
  await using database = await server.makeDatabase();
  const seen: string[] = [];
  let refuse = false;
  const bench = benchOf(database, async (transaction, { operation, from }) => {
    await sql`insert into setting (name, value, created_at, updated_at)
      values (${`${operation.id} ${operation.state}`}, '1', now(), now())`.execute(transaction);
    if (refuse) throw new Error('not now');
    seen.push(`${from ?? 'new'} -> ${operation.state}`);
  });
  const id = await admit(bench, snapshotOf(await makeAccount(bench), 'vol_1'));
  const task = await claimOne(bench);
  refuse = true;
  await assert.rejects(finishTask(bench, task, success), /not now/);
  assert.equal((await operationOf(bench, id)).state, 'running');
  refuse = false;
  await finishTask(bench, task, success);
  assert.deepEqual(seen, ['new -> queued', 'queued -> running', 'running -> succeeded']);
  assert.equal((await database.db.selectFrom('setting').selectAll().execute()).length, 3);
});

test('who waits for work has it as soon as it is admitted, or as soon as a slot is free', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  const account = await makeAccount(bench, 100);
  using bell = await WorkBell.open(database);
  await setCapacity(bench, { key: 'one', slots: 1 });
  const steps = [{ kind: 'take', queue: 'agent/a', capacityKeys: ['one'], payload: {} }];
  const never = new AbortController().signal;
  const wait = (known: readonly string[], waitMs = 60_000) =>
    claimWhenThere(bench, { queues: ['agent/a'], holder: 'session-1', limit: 5, known, bell, waitMs, signal: never });
  const waiting = wait([]);
  await admit(bench, snapshotOf(account, 'vol_1', { steps }));
  const [first] = await waiting;
  assert.ok(first);
  await admit(bench, snapshotOf(account, 'vol_2', { steps }));
  assert.deepEqual(await wait([first.taskId], 50), []);
  const next = wait([first.taskId]);
  await finishTask(bench, { ...first, holder: 'session-1' }, success);
  assert.equal((await next).length, 1);
});

test('who waits can be told to stop', async () => {
  await using database = await server.makeDatabase();
  const bench = benchOf(database);
  using bell = await WorkBell.open(database);
  const stop = new AbortController();
  const waiting = claimWhenThere(bench, {
    queues: ['agent/a'],
    holder: 'session-1',
    limit: 1,
    known: [],
    bell,
    waitMs: 60_000,
    signal: stop.signal,
  });
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
});
