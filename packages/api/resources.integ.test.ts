/** Accounts, users, API tokens: what can be done with them, over HTTP. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createAccount, getUser, listAccounts, listUsers, updateAccount } from '@holdfast/contracts';
import { hasCode } from '@holdfast/base';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import fc from 'fast-check';
import { assertProblem, startApi, userPassword } from './api-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

test('an account is made, read, changed and deleted by the typed client', async () => {
  await using api = await startApi(server);
  const client = api.client(await api.makeToken(api.admin, ['accounts:read', 'accounts:write', 'users:read']));
  const made = await client.call(createAccount, { body: { name: ' Example Ltd ', timezone: 'Asia/Kolkata' } });
  const { id } = made.answer;
  assert.equal(made.answer.name, 'Example Ltd');
  assert.deepEqual([made.answer.version, made.etag, made.isReplay], [1, '"1"', false]);
  const params = { account_id: id };
  await api.clock.advance(1000);
  const changed = await client.call(updateAccount, { params, body: { inflight_limit: 5 } }, { ifMatch: '"1"' });
  assert.deepEqual([changed.answer.inflight_limit, changed.answer.version, changed.etag], [5, 2, '"2"']);
  assert.ok(changed.answer.updated_at > made.answer.updated_at);
  assert.deepEqual(
    (await client.call(updateAccount, { params, body: {} })).answer,
    changed.answer,
    'nothing to change',
  );
  await assert.rejects(client.call(updateAccount, { params, body: { name: 'x' } }, { ifMatch: '"1"' }), (error) => {
    return hasCode(error, 'precondition_failed') && error.facts['version'] === 2;
  });
  const page = await client.call(listAccounts, { query: { count: 'true' } });
  assert.equal(page.answer.count, 2);
  await assert.rejects(client.call(getUser, { params: { user_id: api.admin.accountId } }), (error) =>
    hasCode(error, 'request_invalid'),
  );
  const other = await api.send(`/accounts/${id}`, { as: api.admin, method: 'DELETE', headers: { 'if-match': '"2"' } });
  assert.equal(other.status, 204);
  assertProblem(await api.send(`/accounts/${id}`, { as: api.admin }), 'account_not_found');
  assert.deepEqual(
    (await client.call(listUsers, {})).answer.items.map(({ id }) => id),
    [api.admin.userId],
  );
});

test('a new resource says where it is', async () => {
  await using api = await startApi(server);
  const { status, headers, body } = await api.send('/accounts', { as: api.admin, body: { name: 'one' } });
  assert.equal(status, 201);
  assert.equal(headers.get('location'), `/api/v1/accounts/${String(body['id'])}`);
  assert.deepEqual((await api.send(headers.get('location')!, { as: api.admin })).body, body);
});

test('an account with users stays, and says which calls lead on', async () => {
  await using api = await startApi(server);
  const accountId = await api.makeAccount('one');
  const ann = await api.makeUser(accountId);
  const refused = await api.send(`/accounts/${accountId}`, { as: api.admin, method: 'DELETE' });
  assertProblem(refused, 'dependents_exist');
  const [remedy] = refused.body['remedies'] as { href: string }[];
  const { body } = await api.send(remedy!.href, { as: api.admin });
  assert.deepEqual(
    (body['items'] as { id: string }[]).map(({ id }) => id),
    [ann.userId],
  );
  assert.equal((await api.send(`/users/${ann.userId}`, { as: api.admin, method: 'DELETE' })).status, 204);
  assert.equal((await api.send(`/accounts/${accountId}`, { as: api.admin, method: 'DELETE' })).status, 204);
});

test('an address belongs to one user, whatever its capitals', async () => {
  await using api = await startApi(server);
  const account_id = await api.makeAccount('one');
  const ann = await api.makeUser(account_id, { email: 'ann@example.com' });
  const bob = await api.makeUser(account_id, { email: 'bob@example.com' });
  const body = { email: 'ANN@example.com', name: 'Ann', password: userPassword, account_id };
  assertProblem(await api.send('/users', { as: api.admin, body }), 'email_taken');
  const change = { as: api.admin, method: 'PATCH', body: { email: 'Ann@Example.com' } };
  assertProblem(await api.send(`/users/${bob.userId}`, change), 'email_taken');
  assert.equal((await api.send(`/users/${ann.userId}`, change)).status, 200);
});

test('the last administrator stays one', async () => {
  await using api = await startApi(server);
  for (const sent of [
    { method: 'PATCH', body: { role: 'user' } },
    { method: 'PATCH', body: { status: 'disabled' } },
    { method: 'DELETE' },
  ]) {
    assertProblem(await api.send(`/users/${api.admin.userId}`, { as: api.admin, ...sent }), 'last_administrator');
  }
});

for (const sent of [{ method: 'PATCH', body: { role: 'user' } }, { method: 'DELETE' }]) {
  test(`of administrators who ${sent.method} each other at the same time one stays`, async () => {
    await using api = await startApi(server);
    const others = [await api.makeUser(api.admin.accountId, { role: 'admin' })];
    others.push(await api.makeUser(api.admin.accountId, { role: 'admin' }));
    const all = [api.admin, ...others];
    await Promise.all(all.flatMap((as) => all.map(({ userId }) => api.send(`/users/${userId}`, { as, ...sent }))));
    const left = await api.database.db.selectFrom('user').select('id').where('role', '=', 'admin').execute();
    assert.equal(left.length, 1);
  });
}

test('users change what is theirs of their account, and are told what is not', async () => {
  await using api = await startApi(server);
  const accountId = await api.makeAccount('one');
  const ann = await api.makeUser(accountId);
  const change = (body: object) => api.send(`/accounts/${accountId}`, { as: ann, method: 'PATCH', body });
  assert.equal((await change({ timezone: 'Europe/Berlin' })).body['timezone'], 'Europe/Berlin');
  const refused = await change({ name: 'two', inflight_limit: 100, status: 'active' });
  assertProblem(refused, 'permission_denied');
  assert.match(String(refused.body['detail']), /inflight_limit and status/);
});

test('a suspended account can be looked at and not changed', async () => {
  await using api = await startApi(server);
  const accountId = await api.makeAccount('one');
  const ann = await api.makeUser(accountId);
  await api.send(`/accounts/${accountId}`, { as: api.admin, method: 'PATCH', body: { status: 'suspended' } });
  assert.equal((await api.send('/accounts', { as: ann })).status, 200);
  assertProblem(
    await api.send(`/accounts/${accountId}`, { as: ann, method: 'PATCH', body: { name: 'x' } }),
    'account_suspended',
  );
  assertProblem(
    await api.send('/api-tokens', { as: ann, body: { name: 'x', scopes: ['users:read'] } }),
    'account_suspended',
  );
  assert.equal((await api.send('/session', { as: ann, method: 'DELETE' })).status, 204);
});

test('a token is told once, does what its scopes say, and nothing after it was revoked or has ended', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'));
  const expires_at = new Date(api.clock.nowMs() + 60_000).toISOString();
  const body = { name: 'script', scopes: ['users:read', 'tokens:read', 'users:read'], expires_at };
  const made = await api.send('/api-tokens', { as: ann, body });
  const { id, token, hint } = made.body as { id: string; token: string; hint: string };
  assert.match(token, /^hf_\w{49}$/);
  assert.ok(token.startsWith(hint) && hint.length < 10);
  assert.deepEqual(made.body['scopes'], ['tokens:read', 'users:read']);
  const kept = await api.send(`/api-tokens/${id}`, { as: ann });
  assert.ok(!('token' in kept.body));

  assert.equal((await api.send('/users', { as: token })).status, 200);
  assert.notEqual((await api.send(`/api-tokens/${id}`, { as: token })).body['last_used_at'], null);
  assertProblem(await api.send('/accounts', { as: token }), 'scope_missing');
  assertProblem(
    await api.send('/api-tokens', { as: token, body: { name: 'x', scopes: ['users:read'] } }),
    'scope_missing',
  );

  await api.clock.advance(60_001);
  assertProblem(await api.send('/users', { as: token }), 'token_expired');
  const other = await api.makeToken(ann, ['users:read']);
  const { body: page } = await api.send('/api-tokens', { as: ann });
  const [, second] = page['items'] as { id: string }[];
  assert.equal((await api.send(`/api-tokens/${second!.id}`, { as: ann, method: 'DELETE' })).status, 204);
  assertProblem(await api.send('/users', { as: other }), 'token_invalid');
  assertProblem(await api.send(`/api-tokens/${second!.id}`, { as: ann }), 'token_not_found');
});

test('a token makes none that may more or lives longer than itself', async () => {
  await using api = await startApi(server);
  const soon = new Date(api.clock.nowMs() + 60_000).toISOString();
  const scopes = ['tokens:write', 'users:read'];
  const made = await api.send('/api-tokens', { as: api.admin, body: { name: 'a', scopes, expires_at: soon } });
  const token = String(made.body['token']);
  const make = (body: object) => api.send('/api-tokens', { as: token, body: { name: 'b', ...body } });
  assertProblem(await make({ scopes: ['users:write'], expires_at: soon }), 'scope_missing');
  assertProblem(await make({ scopes: ['users:read'] }), 'request_invalid');
  assertProblem(await make({ scopes: ['users:read'], expires_at: '2026-11-21T11:00:00Z' }), 'request_invalid');
  assert.equal((await make({ scopes: ['users:read'], expires_at: soon })).status, 201);
});

test('pages together are the list, whatever their size, also while it grows', async () => {
  await using api = await startApi(server);
  const names = Array.from({ length: 23 }, (_, index) => `account ${index}`);
  for (const name of names) {
    await api.clock.advance(1);
    await api.makeAccount(name);
  }
  const client = api.client(await api.makeToken(api.admin, ['accounts:read', 'accounts:write']));
  const whole = (await client.call(listAccounts, { query: { limit: 200 } })).answer;
  assert.equal(whole.next_cursor, null);
  assert.deepEqual(
    whole.items.slice(1).map(({ name }) => name),
    names,
  );
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 30 }), async (limit) => {
      const seen: string[] = [];
      for (let cursor: string | undefined; ; ) {
        const { answer } = await client.call(listAccounts, {
          query: { limit, ...(cursor !== undefined && { cursor }) },
        });
        assert.ok(answer.items.length <= limit);
        seen.push(...answer.items.map(({ id }) => id));
        if (answer.next_cursor === null) break;
        cursor = answer.next_cursor;
      }
      assert.deepEqual(
        seen,
        whole.items.map(({ id }) => id),
      );
    }),
    { numRuns: 12 },
  );
  const { next_cursor } = (await client.call(listAccounts, { query: { limit: 10 } })).answer;
  assertProblem(
    await api.send(`/accounts?status=suspended&cursor=${next_cursor!}`, { as: api.admin }),
    'request_invalid',
  );
});

test('filters choose, and an account that one does not see is none to filter by', async () => {
  await using api = await startApi(server);
  const [one, two] = [await api.makeAccount('one'), await api.makeAccount('two')];
  const ann = await api.makeUser(one, { email: 'ann@example.com' });
  const bob = await api.makeUser(two, { email: 'bob@example.com' });
  const idsOf = async (query: string, as = api.admin) => {
    const { body } = await api.send(`/users?${query}`, { as });
    return (body['items'] as { id: string }[]).map(({ id }) => id);
  };
  assert.deepEqual(await idsOf(`account_id=${one}`), [ann.userId]);
  assert.deepEqual(await idsOf('email=BOB@example.com'), [bob.userId]);
  assert.deepEqual(await idsOf('role=admin'), [api.admin.userId]);
  assert.deepEqual(await idsOf('status=disabled'), []);
  assert.deepEqual(await idsOf('', ann), [ann.userId]);
  assertProblem(await api.send(`/users?account_id=${two}`, { as: ann }), 'account_not_found');
  assertProblem(await api.send('/users?acount_id=x', { as: ann }), 'request_invalid');
});
