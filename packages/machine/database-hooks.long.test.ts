/** The hooks of docs/hooks on a real Debian with PostgreSQL and MariaDB, both of which are written to all the time. */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Domain } from '@holdfast/hypervisor/libvirt';
import {
  assertMariadbGoesOn,
  assertWhole,
  installHooks,
  installProgram,
  lastInMariadb,
  makeJournals,
  readDatabases,
  startWriters,
  stopWriters,
  waitForDatabases,
} from './database-guest-fixture.ts';
import { runInGuest, startMachineBed } from './machine-fixture.ts';
import { restoreAsNewMachine } from './restore.ts';

const hook = '/etc/holdfast/quiesce';
/** An emulated guest on a loaded machine takes its time. */
const patient = { path: hook, timeoutMs: 120_000 };
const mariadbHook = '/etc/holdfast/quiesce.d/90-mariadb';

const bed = await startMachineBed({ name: 'db', system: 'debian' });
await bed.guest.start();
const domain = await bed.libvirt.domain('db');
await waitForDatabases(domain);
await installHooks(domain);
await makeJournals(domain);
await startWriters(domain);
await assertMariadbGoesOn(domain);

test('both databases of a point are whole: what was committed before the freeze is there, and what was held back is not', async (t) => {
  await using _ = await installLastStep(`cd /
    { runuser -u postgres -- psql -X -A -t -d postgres -c 'SELECT max(n) FROM journal'
      mariadb -N -B shop -e 'SELECT MAX(n) FROM journal'; } > /run/at-freeze`);
  const startedMs = performance.now();
  const { point, warnings, frozenMs } = await bed.backup({ machine: 'db', consistency: 'require', hook: patient });
  t.diagnostic(`point: ${seconds(startedMs)}, frozen for ${Math.round(frozenMs ?? 0)} ms`);
  assert.deepEqual([point.manifest.consistency, warnings], ['application', []]);
  const [postgresql = 0, mariadb = 0] = (await runInGuest(domain, 'cat /run/at-freeze')).split('\n').map(Number);
  assert.ok(postgresql > 0 && mariadb > 0);
  await assertMariadbGoesOn(domain);
  await bed.host.virsh('suspend', 'db');

  const directory = join(bed.host.directory, 'restored');
  await mkdir(directory, { mode: 0o755 });
  const { libvirt, repository } = bed;
  const restored = await restoreAsNewMachine({ libvirt, repository, point, name: 'db-copy', directory });
  const bootMs = performance.now();
  await bed.host.virsh('start', 'db-copy');
  await bed.host.waitForAgent('db-copy');
  t.diagnostic(`restored, its agent answers: ${seconds(bootMs)}`);
  await waitForDatabases(restored.domain);
  t.diagnostic(`its databases answer: ${seconds(bootMs)}`);

  const found = await readDatabases(restored.domain);
  t.diagnostic(JSON.stringify({ atFreeze: { postgresql, mariadb }, found }));
  for (const journal of Object.values(found)) assertWhole(journal);
  assert.ok(found.postgresql.last >= postgresql, `PostgreSQL had committed ${postgresql}`);
  assert.equal(found.mariadb.last, mariadb, 'MariaDB had committed that, and was to commit no more');
  assert.ok([mariadb, mariadb - 1].includes(found.notes.last), `${found.notes.last} notes of ${mariadb}`);
  await proveClean(restored.domain, (line) => t.diagnostic(line));

  await startWriters(restored.domain);
  await assertMariadbGoesOn(restored.domain);
  assert.ok((await readDatabases(restored.domain)).postgresql.last > found.postgresql.last);
  await bed.host.virsh('destroy', 'db-copy');
  await bed.host.virsh('resume', 'db');
});

/** What the databases themselves say of their files, and of how they started. */
async function proveClean(copy: Domain, tell: (line: string) => void): Promise<void> {
  const index = await runInGuest(
    copy,
    `cd /; runuser -u postgres -- psql -X -A -t -d postgres -c "SELECT bt_index_check('journal_pkey', true)" && echo clean`,
  );
  assert.match(index, /clean$/);
  const checks = (await runInGuest(copy, 'mariadb-check --all-databases --extended')).split('\n');
  assert.deepEqual(
    checks.filter((line) => !/\sOK$/.test(line)),
    [],
  );
  assert.ok(checks.some((line) => line.startsWith('shop.notes')));

  const started = await runInGuest(
    copy,
    `tac /var/log/postgresql/postgresql-15-main.log | sed '/starting PostgreSQL/q' | tac`,
  );
  for (const line of started.split('\n').slice(0, 12)) tell(`PostgreSQL: ${line}`);
  assert.match(started, /automatic recovery in progress/);
  assert.match(started, /redo done/);
  assert.match(started, /ready to accept connections/);
  assert.doesNotMatch(started, /PANIC|ERROR|invalid page|corrupt/);
  const journal = await runInGuest(copy, 'journalctl --no-pager --boot --output=cat --unit=mariadb');
  for (const line of journal.split('\n').filter((line) => /InnoDB|recover|check/i.test(line))) tell(`MariaDB: ${line}`);
  // MyISAM tables that were open when the disk was copied would be checked, or repaired, at their first use.
  assert.doesNotMatch(journal, /shop|crashed|\[ERROR\]/i);
}

test('a hook that hangs is cut off: the lock is released by the thaw, and the point says what it is', async () => {
  // Neither the limit of a step nor that of the lock is reached.
  const path = '/etc/holdfast/unlimited';
  await installProgram(
    domain,
    path,
    `#!/bin/sh\nQUIESCE_STEP_SECONDS=900 MARIADB_HOLD_SECONDS=900 exec ${hook} "$1"\n`,
  );
  await using _ = await installLastStep(`last() { mariadb -N -B shop -e 'SELECT MAX(n) FROM journal'; }
    { last; sleep 1; last; } > /run/held
    exec sleep 120`);
  const { point, warnings } = await bed.backup({ machine: 'db', hook: { path, timeoutMs: 45_000 } });
  assert.equal(point.manifest.consistency, 'filesystem');
  assert.deepEqual(warnings, [
    `The point is less consistent than it could be: ${path} freeze did not end within 45 s and was killed`,
  ]);
  const [first, second] = (await runInGuest(domain, 'cat /run/held')).split('\n');
  assert.ok(first !== undefined && first === second, 'commits were held back');
  await assertReleased();
});

test('a step that hangs is cut off by the dispatcher: all are thawed at once', async () => {
  await using _ = await installLastStep('exec sleep 120');
  const { exitCode, errors } = await call(`MARIADB_HOLD_SECONDS=900 QUIESCE_STEP_SECONDS=30 ${hook} freeze`);
  assert.equal(exitCode, 1);
  assert.match(errors, /95-last freeze did not end within 30 s/);
  await assertReleased();
});

test('a lock that cannot be had is given up in time, and the point says so', async () => {
  await runInGuest(
    domain,
    `systemd-run --quiet --collect --unit=locker sh -c "{ echo 'LOCK TABLES notes WRITE;'; sleep 1000; } | mariadb shop"; sleep 2`,
  );
  const { point, warnings } = await bed.backup({ machine: 'db', hook: patient });
  assert.equal(point.manifest.consistency, 'filesystem');
  assert.match(warnings.join(), /mariadb: not locked: .*Lock wait timeout exceeded/);
  await runInGuest(domain, 'systemctl stop locker');
  await assertReleased();
});

test('nobody thaws: the lock ends by itself, and a thaw that comes too late says so, once', async () => {
  assert.equal((await call(`MARIADB_HOLD_SECONDS=6 ${mariadbHook} freeze`)).exitCode, 0);
  await assertReleased({ isWantedStill: true });
  const late = await call(`${mariadbHook} thaw`);
  assert.equal(late.exitCode, 1);
  assert.match(late.errors, /the lock was gone before the thaw/);
  assert.equal((await call(`${mariadbHook} thaw`)).exitCode, 0);
});

test('a client that hangs: the server releases the lock', async () => {
  const freeze = await call(
    `MARIADB_HOLD_SECONDS=6 ${mariadbHook} freeze && pkill -STOP -x timeout && pkill -STOP -n -x mariadb`,
  );
  assert.equal(freeze.exitCode, 0, freeze.errors);
  await assertMariadbGoesOn(domain);
  await runInGuest(domain, 'pkill -KILL -n -x mariadb; pkill -KILL -x timeout');
  await call(`${mariadbHook} thaw`);
  await assertReleased();
});

test('it waits for nobody who reads, and nobody who reads waits for it', async () => {
  await runInGuest(
    domain,
    `systemd-run --quiet --collect --unit=report mariadb shop -e 'SELECT SLEEP(25) FROM journal LIMIT 1'; sleep 2`,
  );
  const { exitCode, errors } = await call(`${mariadbHook} freeze`);
  assert.equal(exitCode, 0, errors);
  assert.equal(await lastInMariadb(domain), await lastInMariadb(domain));
  assert.equal((await call(`${mariadbHook} thaw`)).exitCode, 0);
  await runInGuest(domain, 'systemctl is-active report');
  await assertReleased();
});

test('frozen twice and thawed once, nothing is held', async () => {
  for (const phase of ['freeze', 'freeze', 'thaw']) {
    const { exitCode, errors } = await call(`${hook} ${phase}`);
    assert.equal(exitCode, 0, errors);
  }
  await assertReleased();
  await stopWriters(domain);
  for (const journal of Object.values(await readDatabases(domain))) assertWhole(journal);
});

/** A step of the freeze after both databases, when they are as the hooks want them. */
async function installLastStep(script: string): Promise<AsyncDisposable> {
  const path = '/etc/holdfast/quiesce.d/95-last';
  await installProgram(domain, path, `#!/bin/sh\n[ "$1" = freeze ] || exit 0\n${script}\n`);
  return {
    async [Symbol.asyncDispose]() {
      await runInGuest(domain, `rm ${path}`);
    },
  };
}

/** MariaDB commits, and no session of the hook is left. */
async function assertReleased({ isWantedStill = false } = {}): Promise<void> {
  await assertMariadbGoesOn(domain);
  const run = '/run/holdfast-mariadb';
  await runInGuest(
    domain,
    `flock --timeout 10 ${run}/session true${isWantedStill ? '' : ` && [ ! -e ${run}/wanted ]`}`,
  );
}

async function call(script: string): Promise<{ readonly exitCode: number | undefined; readonly errors: string }> {
  return await domain.agent.run({ program: '/bin/sh', args: ['-c', script], timeoutMs: 120_000 });
}

function seconds(sinceMs: number): string {
  return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}
