import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, newId, systemClock } from '@holdfast/base';
import { mountForTest, temporaryDirectory } from '@holdfast/testing';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { sql } from 'kysely';
import { migrate } from '../migrations/migrate.ts';
import { migrations } from '../migrations/migrations.ts';
import type { Database } from '../open-database.ts';
import { exportDatabase } from './export-database.ts';
import { importDatabase } from './import-database.ts';
import { readTables } from './tables.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const times = { created_at: new Date('2030-01-02T03:04:05.678Z'), updated_at: new Date('2030-02-03T04:05:06.789Z') };

/** Values that a careless text form would change. */
async function fill(database: Database): Promise<void> {
  const { db } = database;
  const accountId = newId('acc');
  const userId = newId('usr');
  await db
    .insertInto('account')
    .values({
      id: accountId,
      kind: 'customer',
      name: 'Zoë\u2028 "quotes" \\ \t 🦊',
      quota_bytes: 2 ** 53 - 1,
      ...times,
    })
    .execute();
  await db
    .insertInto('user')
    .values({
      id: userId,
      email: 'Zoe@example.org',
      name: '',
      password_hash: '$argon2id$v=19$m=65536$abc',
      oidc_issuer: null,
      oidc_subject: null,
      totp_secret: null,
      totp_confirmed_at: times.created_at,
      totp_last_step: 58_000_000,
      role: 'admin',
      last_login_at: null,
      ...times,
    })
    .execute();
  await db
    .insertInto('membership')
    .values({ id: newId('mem'), account_id: accountId, user_id: userId, role: 'owner', ...times })
    .execute();
  await db
    .insertInto('session')
    .values({
      id: newId('lgn'),
      user_id: userId,
      account_id: accountId,
      token_hash: 'ab'.repeat(32),
      expires_at: times.updated_at,
      last_seen_at: times.created_at,
      ip_address: '::1',
      user_agent: null,
      ...times,
    })
    .execute();
  await db
    .insertInto('api_token')
    .values({
      id: newId('tok'),
      account_id: accountId,
      user_id: userId,
      name: 'ci',
      token_hash: 'cd'.repeat(32),
      scopes: ['backups:write', 'a,b', '{"x"}', ''],
      expires_at: null,
      last_used_at: null,
      revoked_at: null,
      ...times,
    })
    .execute();
  await db
    .insertInto('audit_event')
    .values(
      Array.from({ length: 1200 }, (_, index) => ({
        id: newId('aud'),
        seq: index + 1,
        account_id: index % 2 === 0 ? accountId : null,
        actor_kind: 'system' as const,
        actor_id: null,
        action: 'test',
        resource: null,
        details: '{"number": 12345678901234567890.123456789, "nested": [null, {"deep": "\\u2029"}]}',
        prev_hash: '0'.repeat(64),
        hash: 'f'.repeat(64),
        ...times,
      })),
    )
    .execute();
  await db
    .insertInto('outbox')
    .values({ id: newId('evt'), seq: null, topic: 't', account_id: null, payload: '{}', ...times })
    .execute();
  await db
    .insertInto('idempotency_record')
    .values({
      account_id: accountId,
      key: 'k 1',
      request_hash: 'ee',
      response_status: 202,
      response: '{"a": 1.0}',
      expires_at: times.updated_at,
      ...times,
    })
    .execute();
  await db
    .insertInto('login_attempt')
    .values({ id: newId('att'), email: 'zoe@example.org', client: '192.0.2.7', ...times })
    .execute();
  await db
    .insertInto('setting')
    .values({ name: 's', value: '"x"', ...times })
    .execute();
  await fillWork(database, accountId);
}

async function fillWork({ db }: Database, accountId: string): Promise<void> {
  const operation = newId('op');
  const step = newId('step');
  const task = newId('task');
  await db
    .insertInto('operation')
    .values({
      id: operation,
      type: 'backup',
      state: 'stalled',
      account_id: accountId,
      started_by: null,
      is_counted: true,
      resources: ['vol_1', 'a "b", {c}'],
      phase: null,
      bytes_done: 2 ** 53 - 1,
      bytes_total: 0,
      error: null,
      result: null,
      started_at: null,
      heartbeat_at: null,
      progress_at: null,
      stalled_at: times.updated_at,
      finished_at: null,
      ...times,
    })
    .execute();
  const shared = { operation_id: operation, queue: 'agent/a', capacity_keys: ['host/a'], ...times };
  await db
    .insertInto('operation_step')
    .values({ id: step, position: 1, kind: 'take', payload: '{"n": 1.10}', state: 'active', result: null, ...shared })
    .execute();
  await db
    .insertInto('task')
    .values({
      id: task,
      step_id: step,
      state: 'running',
      epoch: 3,
      holder: 'session',
      claimed_at: times.created_at,
      finished_at: null,
      ...shared,
    })
    .execute();
  await db
    .insertInto('operation_log')
    .values({ id: newId('log'), operation_id: operation, position: 1, level: 'warning', message: 'a\nb', ...times })
    .execute();
  await db
    .insertInto('resource_lock')
    .values({ resource: 'vol_1', operation_id: operation, mode: 'exclusive', epoch: 3, ...times })
    .execute();
  await db
    .insertInto('cooldown')
    .values({ resource: 'vol_2', until: times.updated_at, cause: operation, ...times })
    .execute();
  await db
    .insertInto('capacity')
    .values({ key: 'host/a', slots: 2, ...times })
    .execute();
  await db
    .insertInto('capacity_use')
    .values({ key: 'host/a', task_id: task, ...times })
    .execute();
}

/** Everything there is, as PostgreSQL itself writes it. */
async function contentOf(database: Database): Promise<Readonly<Record<string, readonly string[]>>> {
  const content: Record<string, readonly string[]> = {};
  for (const { name } of await readTables(database.db)) {
    const { rows } = await sql<{ text: string }>`select t::text as text from ${sql.table(name)} t`.execute(database.db);
    content[name] = rows.map(({ text }) => text).toSorted();
  }
  return content;
}

/** The lines before the last, with a last one that fits. */
function withSum(lines: readonly string[]): string {
  const body = lines.map((line) => `${line}\n`).join('');
  const rows = lines.filter((line) => line.startsWith('{"row":')).length;
  return `${body}${JSON.stringify({ rows, sha256: createHash('sha256').update(body).digest('hex') })}\n`;
}

async function isEmpty(database: Database): Promise<boolean> {
  return (await readTables(database.db)).length === 0;
}

test('what was exported is imported, to the last digit', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  await using source = await server.makeDatabase();
  await fill(source);
  const report = await exportDatabase({ db: source.db, file, clock: systemClock });
  assert.equal(report.sizeBytes, (await stat(file)).size);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await using target = await server.makeDatabase({ empty: true });
  assert.deepEqual(await importDatabase({ db: target.db, file }), { rows: report.rows });
  const content = await contentOf(source);
  assert.deepEqual(await contentOf(target), content);
  // A table that fill() leaves out is a table whose columns nobody has tried.
  for (const [name, rows] of Object.entries(content)) assert.ok(rows.length > 0, name);
  assert.equal(await migrate(target), 0);
});

test('an export is of one moment, and does not hold up who writes', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  await using source = await server.makeDatabase();
  await fill(source);
  let stop = false;
  let n = 0;
  const writing = (async () => {
    for (; !stop; n += 1) {
      // Both or neither, in an early and in a late table: an export of two moments would show it.
      await source.db.transaction().execute(async (transaction) => {
        const account = { id: newId('acc'), kind: 'customer', name: `n${n}`, quota_bytes: null, ...times } as const;
        await transaction.insertInto('account').values(account).execute();
        await transaction
          .insertInto('setting')
          .values({ name: `n${n}`, value: '1', ...times })
          .execute();
      });
    }
  })();
  while (n === 0) await delay(1);
  await exportDatabase({ db: source.db, file, clock: systemClock });
  stop = true;
  await writing;
  await using target = await server.makeDatabase({ empty: true });
  await importDatabase({ db: target.db, file });
  const { rows } = await sql<{ settings: number; accounts: number }>`
    select (select count(*) from setting where name like 'n%') as settings,
      (select count(*) from account where name like 'n%') as accounts`.execute(target.db);
  assert.equal(rows[0]!.settings, rows[0]!.accounts);
  assert.ok(rows[0]!.settings > 0);
});

test('a file cut off anywhere, or with any bit of it changed, is refused, and the database stays empty', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  {
    await using source = await server.makeDatabase();
    await source.db
      .insertInto('setting')
      .values({ name: 's', value: '"x"', ...times })
      .execute();
    await exportDatabase({ db: source.db, file, clock: systemClock });
  }
  const whole = await readFile(file);
  await using target = await server.makeDatabase({ empty: true });
  const refused = async (content: Buffer, what: string): Promise<void> => {
    await writeFile(file, content);
    await assert.rejects(
      importDatabase({ db: target.db, file }),
      (error) => hasCode(error, 'database_export_damaged', 'database_newer'),
      what,
    );
  };
  for (let length = 0; length < whole.length; length += 1 + Math.floor(length / 50)) {
    await refused(whole.subarray(0, length), `cut to ${length}`);
  }
  for (let position = 0; position < whole.length; position += 3) {
    const changed = Buffer.from(whole);
    changed[position]! ^= 1 << (position % 7);
    await refused(changed, `bit ${position % 7} of byte ${position}`);
  }
  await refused(Buffer.concat([whole, Buffer.from('{"row":{}}\n')]), 'something appended');
  assert.ok(await isEmpty(target));
  await writeFile(file, whole);
  assert.deepEqual(await importDatabase({ db: target.db, file }), { rows: 1 });
});

test('an export of an older step is imported and brought up; one of a newer program is refused', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  await using source = await server.makeDatabase({ empty: true });
  await migrate({ db: source.db, upTo: 1 });
  await source.db
    .insertInto('setting')
    .values({ name: 's', value: '1', ...times })
    .execute();
  await exportDatabase({ db: source.db, file, clock: systemClock });
  await using target = await server.makeDatabase({ empty: true });
  await importDatabase({ db: target.db, file });
  assert.equal(await migrate(target), 0);

  const newer = join(directory.path, 'newer');
  await using future = await server.makeDatabase();
  const next = migrations.length + 1;
  await exportDatabase({ db: future.db, file: newer, clock: systemClock });
  const [header = '', ...rest] = (await readFile(newer, 'utf8')).split('\n');
  await writeFile(
    newer,
    withSum([header.replace(`"step":${migrations.length}`, `"step":${next}`), ...rest.slice(0, -2)]),
  );
  await using empty = await server.makeDatabase({ empty: true });
  await assert.rejects(importDatabase({ db: empty.db, file: newer }), (error) => hasCode(error, 'database_newer'));
});

test('tables that are not those of its step are refused, though the checksum fits', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  await using source = await server.makeDatabase();
  await exportDatabase({ db: source.db, file, clock: systemClock });
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -2);
  await writeFile(file, withSum([lines[0]!.replace('"timezone"', '"zone"'), ...lines.slice(1)]));
  await using target = await server.makeDatabase({ empty: true });
  await assert.rejects(importDatabase({ db: target.db, file }), (error) => hasCode(error, 'database_export_damaged'));
  assert.ok(await isEmpty(target));
});

test('a database that has tables is refused, whose ever they are', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  await using source = await server.makeDatabase();
  await exportDatabase({ db: source.db, file, clock: systemClock });
  await assert.rejects(importDatabase({ db: source.db, file }), (error) => hasCode(error, 'database_not_empty'));
  await using foreign = await server.makeDatabase({ empty: true });
  await sql`create table other (n integer)`.execute(foreign.db);
  await assert.rejects(importDatabase({ db: foreign.db, file }), (error) => hasCode(error, 'database_foreign'));
  await assert.rejects(importDatabase({ db: foreign.db, file: join(directory.path, 'no') }), (error) =>
    hasCode(error, 'source_not_found'),
  );
});

test('an import that breaks off leaves the database empty', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'export');
  await using source = await server.makeDatabase();
  await fill(source);
  await exportDatabase({ db: source.db, file, clock: systemClock });
  await using target = await server.makeDatabase({ empty: true });
  const stopped = new Error('stopped');
  let calls = 0;
  const signal = {
    throwIfAborted() {
      calls += 1;
      if (calls === 5) throw stopped;
    },
  } as AbortSignal;
  await assert.rejects(importDatabase({ db: target.db, file, signal }), stopped);
  assert.ok(await isEmpty(target));
});

test('a target that exists or cannot be written is refused, and no part of a file is left', async (t) => {
  await using directory = await temporaryDirectory();
  await using source = await server.makeDatabase();
  await fill(source);
  const file = join(directory.path, 'export');
  await writeFile(file, 'kept');
  await assert.rejects(exportDatabase({ db: source.db, file, clock: systemClock }), (error) =>
    hasCode(error, 'target_exists'),
  );
  assert.equal(await readFile(file, 'utf8'), 'kept');
  const nowhere = join(directory.path, 'no/export');
  await assert.rejects(exportDatabase({ db: source.db, file: nowhere, clock: systemClock }), (error) =>
    hasCode(error, 'target_unwritable'),
  );
  const at = join(directory.path, 'small');
  await using mount = await mountForTest({ at, options: 'size=64k', test: t });
  if (mount === undefined) return;
  await assert.rejects(exportDatabase({ db: source.db, file: join(at, 'export'), clock: systemClock }), (error) =>
    hasCode(error, 'target_full'),
  );
  assert.deepEqual(await readdir(at), []);
});
