import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type DatabaseServer, startDatabaseServer, type TestDatabase } from '@holdfast/testing/database';
import { sql } from 'kysely';
import { inTransaction } from './transaction.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

async function withCounters(database: TestDatabase): Promise<void> {
  await sql`create table counter (name text primary key, value integer not null)`.execute(database.db);
  await sql`insert into counter values ('a', 0), ('b', 0)`.execute(database.db);
}

async function values(database: TestDatabase): Promise<readonly number[]> {
  const { rows } = await sql<{ value: number }>`select value from counter order by name`.execute(database.db);
  return rows.map(({ value }) => value);
}

test('what throws leaves nothing behind', async () => {
  await using database = await server.makeDatabase();
  await withCounters(database);
  const failing = inTransaction(database, async (transaction) => {
    await sql`update counter set value = 7`.execute(transaction);
    throw new Error('changed my mind');
  });
  await assert.rejects(failing, /changed my mind/);
  assert.deepEqual(await values(database), [0, 0]);
});

test('serializable transactions that read and write the same row lose no update', async () => {
  await using database = await server.makeDatabase();
  await withCounters(database);
  const increment = () =>
    inTransaction({ db: database.db, isolation: 'serializable' }, async (transaction) => {
      const { rows } = await sql<{ value: number }>`select value from counter where name = 'a'`.execute(transaction);
      await sql`update counter set value = ${rows[0]!.value + 1} where name = 'a'`.execute(transaction);
    });
  for (let round = 0; round < 10; round += 1) await Promise.all([increment(), increment(), increment()]);
  assert.deepEqual(await values(database), [30, 0]);
});

test('of two transactions that wait for each other one begins again, and both are done', async () => {
  await using database = await server.makeDatabase();
  await withCounters(database);
  let attempts = 0;
  const both = Promise.withResolvers<void>();
  let inside = 0;
  const add = (names: readonly [string, string]) =>
    inTransaction(database, async (transaction) => {
      attempts += 1;
      await sql`update counter set value = value + 1 where name = ${names[0]}`.execute(transaction);
      inside += 1;
      if (inside === 2) both.resolve();
      await both.promise;
      await sql`update counter set value = value + 1 where name = ${names[1]}`.execute(transaction);
    });
  await Promise.all([add(['a', 'b']), add(['b', 'a'])]);
  assert.equal(attempts, 3);
  assert.deepEqual(await values(database), [2, 2]);
});
