/** Invariant 17: the same key and body give the same result, another body is refused. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import fc from 'fast-check';
import { sql } from 'kysely';
import { assertProblem, type Got, type Person, sendTo, startApi, type TestApi } from './api-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const post = (api: TestApi, request: { path?: string; key: string; body: object; as?: Person | string }) =>
  api.send(request.path ?? '/accounts', {
    as: request.as ?? api.admin,
    body: request.body,
    headers: { 'idempotency-key': request.key },
  });

const isReplay = ({ headers }: Got) => headers.get('idempotency-replayed') === 'true';

test('whatever is sent in whatever order, each key has one effect and one answer', async () => {
  await using api = await startApi(server);
  const request = fc.record({ key: fc.constantFrom('a', 'b', 'c'), name: fc.constantFrom('x', 'y') });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 12 }), async (requests) => {
      run += 1;
      const prefix = `run${run}-`;
      const first = new Map<string, { readonly name: string; readonly got: Got }>();
      for (const { key, name } of requests) {
        const got = await post(api, { key: prefix + key, body: { name: prefix + name } });
        const known = first.get(key);
        if (!known) {
          assert.equal(got.status, 201);
          assert.ok(!isReplay(got));
          first.set(key, { name, got });
        } else if (known.name === name) {
          assert.deepEqual([got.status, got.body, isReplay(got)], [201, known.got.body, true]);
          for (const header of ['etag', 'location'])
            assert.equal(got.headers.get(header), known.got.headers.get(header));
        } else assertProblem(got, 'idempotency_mismatch');
      }
      const { body } = await api.send(`/accounts?limit=200`, { as: api.admin });
      const made = (body['items'] as { name: string }[]).filter(({ name }) => name.startsWith(prefix));
      assert.equal(made.length, first.size);
      await api.database.db.deleteFrom('account').where('name', 'like', `${prefix}%`).execute();
    }),
    { numRuns: 15 },
  );
});

test('sent many times at once it happens once, on two servers too', async () => {
  await using api = await startApi(server);
  const other = await api.another();
  for (let round = 0; round < 5; round += 1) {
    const key = randomUUID();
    const body = { name: `round ${round}` };
    const sent = { as: api.admin, body, headers: { 'idempotency-key': key } };
    const got = await Promise.all(
      Array.from({ length: 12 }, (_, index) => sendTo(index % 2 === 0 ? api.url : other.url, '/accounts', sent)),
    );
    const done = got.filter(({ status }) => status === 201);
    assert.equal(done.filter((one) => !isReplay(one)).length, 1);
    assert.equal(new Set(done.map((one) => one.body['id'])).size, 1);
    for (const one of got.filter(({ status }) => status !== 201)) assertProblem(one, 'idempotency_in_progress');
    const { rows } = await sql`select id from account where name = ${body.name}`.execute(api.database.db);
    assert.equal(rows.length, 1);
  }
});

test('a failure keeps no answer, for it had no effect: the same key may succeed later', async () => {
  await using api = await startApi(server);
  const account_id = await api.makeAccount('one');
  await api.makeUser(account_id, { email: 'ann@example.com' });
  const body = { email: 'ann@example.com', name: 'Ann', password: 'a long password', account_id };
  assertProblem(await post(api, { path: '/users', key: 'k', body }), 'email_taken');
  await api.database.db.deleteFrom('user').where('email', '=', 'ann@example.com').execute();
  assert.equal((await post(api, { path: '/users', key: 'k', body })).status, 201);
});

test('an effect without its answer cannot be: both are gone when the transaction fails at its end', async () => {
  await using api = await startApi(server);
  const { db } = api.database;
  await sql`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`.execute(
    db,
  );
  await sql`create trigger refuse before insert on idempotency_record for each row execute function refuse()`.execute(
    db,
  );
  assertProblem(await post(api, { key: 'k', body: { name: 'one' } }), 'internal');
  const named = () => db.selectFrom('account').select('id').where('name', '=', 'one').execute();
  assert.deepEqual(await named(), []);
  assert.deepEqual(
    await db.selectFrom('audit_event').select('id').where('action', '=', 'account.created').execute(),
    [],
  );
  await sql`drop trigger refuse on idempotency_record`.execute(db);
  assert.equal((await post(api, { key: 'k', body: { name: 'one' } })).status, 201);
  assert.equal((await named()).length, 1);
});

test('a token that is told once is told again to whoever has its key, and lies nowhere in the clear', async () => {
  await using api = await startApi(server);
  const body = { name: 'script', scopes: ['users:read'] };
  const [first, again] = [
    await post(api, { path: '/api-tokens', key: 'k', body }),
    await post(api, { path: '/api-tokens', key: 'k', body }),
  ];
  assert.deepEqual(again.body, first.body);
  assert.ok(isReplay(again));
  const kept = await api.database.db.selectFrom('idempotency_record').selectAll().executeTakeFirstOrThrow();
  assert.ok(!JSON.stringify(kept).includes(String(first.body['token']).slice(3)));
});

test('a key is its account’s, for one person and one call, and a day long', async () => {
  await using api = await startApi(server);
  const account = await api.makeAccount('one');
  const [ann, bob] = [await api.makeUser(account), await api.makeUser(account)];
  const eve = await api.makeUser(await api.makeAccount('two'));
  const body = { name: 'script', scopes: ['users:read'] };
  const make = (as: Person) => post(api, { path: '/api-tokens', key: 'k', body, as });
  const first = await make(ann);
  assertProblem(await make(bob), 'idempotency_mismatch');
  const other = await make(eve);
  assert.ok(other.status === 201 && !isReplay(other) && other.body['id'] !== first.body['id']);
  assertProblem(await post(api, { path: '/accounts', key: 'k', body: { name: 'x' }, as: ann }), 'permission_denied');
  await api.clock.advance(11 * 60 * 60_000);
  assert.ok(isReplay(await make(ann)));
  // Sessions end after twelve hours without use.
  await api.clock.advance(11 * 60 * 60_000);
  assert.ok(isReplay(await make(ann)));
  await api.clock.advance(2 * 60 * 60_000);
  const later = await make(ann);
  assert.ok(later.status === 201 && !isReplay(later) && later.body['id'] !== first.body['id']);
});

test('a key that cannot be one is refused', async () => {
  await using api = await startApi(server);
  for (const key of ['with blank', 'x'.repeat(256), 'ü']) {
    assertProblem(await post(api, { key, body: { name: 'x' } }), 'request_invalid');
  }
});
