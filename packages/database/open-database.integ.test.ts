import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { after, before, test, type TestContext } from 'node:test';
import { hasCode } from '@holdfast/base';
import { type DebianPostgres, startDebianPostgres } from '@holdfast/testing/database';
import { sql } from 'kysely';
import { migrate } from './migrations/migrate.ts';
import { type Database, openDatabase } from './open-database.ts';

let server: DebianPostgres | undefined;
before(async () => {
  server = await startDebianPostgres();
});
after(() => server?.[Symbol.asyncDispose]());

function open(url: string): Promise<Database> {
  return openDatabase({ place: { kind: 'external', url } });
}

function serverOrSkip(t: TestContext): DebianPostgres | undefined {
  if (server === undefined) t.skip("needs Debian's postgresql-15");
  return server;
}

test("Debian's PostgreSQL 15 takes the schema", async (t) => {
  const { url } = serverOrSkip(t) ?? {};
  if (url === undefined) return;
  await using database = await open(url);
  assert.match(database.serverVersion, /^15\./);
  assert.ok((await migrate(database)) > 0);
  assert.equal(await migrate(database), 0);
  assert.deepEqual(await database.db.selectFrom('account').selectAll().execute(), []);
  assert.doesNotMatch(database.description, /secret/);
});

test('a wrong password, user or database is told as denied, and no password is repeated', async (t) => {
  const { url } = serverOrSkip(t) ?? {};
  if (url === undefined) return;
  const wrong = [
    url.replace('secret', 'hunter2'),
    url.replace('owner', 'stranger'),
    url.replace(/postgres$/, 'nowhere'),
  ];
  for (const address of wrong) {
    await assert.rejects(open(address), (error) => {
      assert.ok(hasCode(error, 'database_denied'), String(error));
      assert.doesNotMatch(`${error.message} ${JSON.stringify(error.facts)}`, /secret|hunter2/);
      return true;
    });
  }
});

test('an address where nobody listens, and a host that does not exist, are told as unreachable', async () => {
  for (const host of ['127.0.0.1:1', 'no-such-host.invalid:5432']) {
    await assert.rejects(open(`postgresql://owner:secret@${host}/name`), (error) => {
      assert.ok(hasCode(error, 'database_unreachable'), String(error));
      assert.match(error.message, /postgresql:\/\/owner@/);
      return true;
    });
  }
});

test('a server that is no PostgreSQL is told as unreachable', async () => {
  const web = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
  await once(web, 'listening');
  const { port } = web.address() as { port: number };
  try {
    await assert.rejects(open(`postgresql://owner:secret@127.0.0.1:${port}/name`), (error) =>
      hasCode(error, 'database_unreachable'),
    );
  } finally {
    web.close();
  }
});

test('what is no address of a database is refused before anything is tried', async () => {
  for (const url of [
    '',
    'mysql://u@h/d',
    'postgresql://',
    'postgresql://host',
    'postgresql://host/',
    'postgresql://u:100%@host/name',
    '/var/run/x',
    'file:///x',
  ]) {
    await assert.rejects(open(url), (error) => hasCode(error, 'database_url_invalid'), url);
  }
});

test('the server goes away and comes back: queries fail as unreachable meanwhile, and work again', async (t) => {
  const debian = serverOrSkip(t);
  if (debian === undefined) return;
  await using database = await open(debian.url);
  const one = () => sql<{ one: number }>`select 1 as one`.execute(database.db);
  await one();
  await debian.kill();
  await assert.rejects(one(), (error) => hasCode(error, 'database_unreachable'));
  await assert.rejects(one(), (error) => hasCode(error, 'database_unreachable'));
  await debian.start();
  assert.deepEqual((await one()).rows, [{ one: 1 }]);
});

test('notifications come again after the server was away, and the gap is told', async (t) => {
  const debian = serverOrSkip(t);
  if (debian === undefined) return;
  await using database = await open(debian.url);
  const heard: (string | undefined)[] = [];
  let wake = (): void => undefined;
  using _ = await database.listen('news', (payload) => {
    heard.push(payload);
    wake();
  });
  const heardOf = async (wanted: string | undefined): Promise<void> => {
    while (!heard.includes(wanted)) await new Promise<void>((resolve) => (wake = resolve));
  };
  await sql`select pg_notify('news', 'before')`.execute(database.db);
  await heardOf('before');
  heard.length = 0;
  await debian.kill();
  await debian.start();
  await heardOf(undefined);
  await sql`select pg_notify('news', 'after')`.execute(database.db);
  await heardOf('after');
});
