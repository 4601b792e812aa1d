import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { sql } from 'kysely';
import { readTables } from '../transfer/tables.ts';
import { migrate, readMigrations } from './migrate.ts';
import { migrations } from './migrations.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

test('steps are numbered without a gap, and each title occurs once', () => {
  assert.deepEqual(
    migrations.map(({ number }) => number),
    Array.from(migrations, (_, index) => index + 1),
  );
  assert.equal(new Set(migrations.map(({ title }) => title)).size, migrations.length);
});

test('several servers that start at once take each step once', async () => {
  await using database = await server.makeDatabase({ empty: true });
  const taken = await Promise.all(Array.from({ length: 6 }, () => migrate(database)));
  assert.deepEqual(
    taken.filter((steps) => steps > 0),
    [migrations.length],
  );
  assert.equal((await readMigrations(database.db)).length, migrations.length);
});

test('step by step gives the same tables as all at once', async () => {
  await using stepped = await server.makeDatabase({ empty: true });
  for (let upTo = 1; upTo <= migrations.length; upTo += 1) assert.equal(await migrate({ db: stepped.db, upTo }), 1);
  await using whole = await server.makeDatabase();
  assert.deepEqual(await readTables(stepped.db), await readTables(whole.db));
});

test('a database of a newer program is refused and not changed', async () => {
  await using database = await server.makeDatabase();
  const next = migrations.length + 1;
  await sql`insert into migration values (${next}, 'from the future', now())`.execute(database.db);
  await assert.rejects(migrate(database), (error) => {
    assert.ok(hasCode(error, 'database_newer'));
    assert.match(error.message, new RegExp(`the database has step ${next}, from the future`));
    return true;
  });
});

test('a database with the tables of another program is refused and not changed', async () => {
  await using database = await server.makeDatabase({ empty: true });
  await sql`create table wp_posts (id integer)`.execute(database.db);
  await assert.rejects(migrate(database), (error) => hasCode(error, 'database_foreign'));
  assert.deepEqual(
    (await readTables(database.db)).map(({ name }) => name),
    ['wp_posts'],
  );
});

test('every table can be exported and imported: it has a primary key, and no sequence that an import would forget', async () => {
  await using database = await server.makeDatabase();
  for (const { name, primaryKey } of await readTables(database.db)) assert.ok(primaryKey.length > 0, name);
  const { rows } = await sql`select sequencename from pg_sequences`.execute(database.db);
  assert.deepEqual(rows, []);
});

test('every table has its times and its version', async () => {
  await using database = await server.makeDatabase();
  for (const { name, columns } of await readTables(database.db)) {
    for (const column of ['created_at', 'updated_at', 'version'])
      assert.ok(columns.includes(column), `${name}.${column}`);
  }
});
