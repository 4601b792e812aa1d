/**
 * How many operations a second are admitted, handed out and finished, with locks, the limit of accounts and capacities, on an
 * embedded database that flushes each commit. To be reached: 500 admissions a second (issue 5).
 *
 *     node bench/admission.ts [--operations 10000] [--connections 10] [--lanes 16]
 *
 * Prints one JSON line a step.
 */
import { parseArgs } from 'node:util';
import { newId, runLanes, systemClock } from '@holdfast/base';
import { inTransaction } from '@holdfast/database';
import { startDatabaseServer } from '@holdfast/testing/database';
import { admitOperation, claimTasks, finishTask, setCapacity } from '@holdfast/work';

const { values } = parseArgs({
  options: {
    operations: { type: 'string', default: '10000' },
    connections: { type: 'string', default: '10' },
    lanes: { type: 'string', default: '16' },
  },
});
const operations = Number(values.operations);
const lanes = Number(values.lanes);
const hosts = 20;
const tasksAtOnce = 4;

await using server = await startDatabaseServer();
await using database = await server.makeDatabase({ connections: Number(values.connections) });
const context = { db: database.db, clock: systemClock };
const accounts = await makeAccounts(1000);
for (let host = 0; host < hosts; host += 1) await setCapacity(context, { key: `host/${host}`, slots: tasksAtOnce });
await setCapacity(context, { key: 'storage/s', slots: hosts * 2 });

await measured('admit', operations, async () => {
  await runLanes({
    jobs: Array.from({ length: operations }, (_, index) => index),
    lanes,
    run: (index) => admitSnapshot(index),
  });
});

let finished = 0;
await measured('claim and finish', operations, async () => {
  await Promise.all(
    Array.from({ length: hosts }, async (_, host) => {
      const holder = `session-${host}`;
      for (;;) {
        const tasks = await claimTasks(context, {
          queues: [`agent/${host}`],
          holder,
          limit: tasksAtOnce,
          known: [],
        });
        if (tasks.length === 0 && finished === operations) return;
        for (const task of tasks) {
          await finishTask(context, { ...task, holder }, { kind: 'succeeded', result: {} });
          finished += 1;
        }
      }
    }),
  );
});

async function makeAccounts(count: number): Promise<readonly string[]> {
  const now = new Date();
  const rows = Array.from({ length: count }, () => ({
    id: newId('acc'),
    kind: 'customer' as const,
    name: 'bench',
    inflight_limit: operations,
    quota_bytes: null,
    created_at: now,
    updated_at: now,
  }));
  await database.db.insertInto('account').values(rows).execute();
  return rows.map(({ id }) => id);
}

async function admitSnapshot(index: number): Promise<void> {
  const volume = `vol_${index}`;
  const capacityKeys = [`host/${index % hosts}`, 'storage/s'];
  await inTransaction(database, (transaction) =>
    admitOperation(context, transaction, {
      type: 'snapshot',
      accountId: accounts[index % accounts.length]!,
      startedBy: null,
      isUserWork: true,
      resources: [volume],
      locks: [{ resource: volume, mode: 'exclusive' }],
      cooldown: { isObeyed: true, resources: [volume], successMs: 300_000, failureMs: 30_000 },
      steps: [{ kind: 'take', queue: `agent/${index % hosts}`, capacityKeys, payload: {} }],
    }),
  );
}

async function measured(what: string, count: number, work: () => Promise<void>): Promise<void> {
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  await work();
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(startCpu);
  // Of this process; PostgreSQL takes its share beside it.
  const cpuSeconds = (user + system) / 1e6;
  console.log(
    JSON.stringify({ what, count, seconds, cpu_seconds: cpuSeconds, per_second: Math.round(count / seconds) }),
  );
}
