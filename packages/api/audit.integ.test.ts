/** Invariant 13: every change has an audit event, and the chain verifies. Invariant 18: secrets never leave. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { scopes } from '@holdfast/contracts';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import fc from 'fast-check';
import { sql } from 'kysely';
import { TOTP } from 'otpauth';
import { adminEmail, adminPassword, type Got, sendTo, startApi, type TestApi, userPassword } from './api-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const verify = async (api: TestApi): Promise<Got['body']> =>
  (await api.send('/audit-events/actions/verify', { as: api.admin, method: 'POST' })).body;

/** Rows that people can change, without what is written down about the change. Times of use are no change. */
async function stateOf(api: TestApi): Promise<string> {
  const { rows } = await sql`
    select 'account' as kind, to_jsonb(account) as row from account
    union all select 'user', to_jsonb("user") - 'last_login_at' - 'totp_last_step' from "user"
    union all select 'membership', to_jsonb(membership) from membership
    union all select 'session', to_jsonb(session) - 'last_seen_at' from session
    union all select 'token', to_jsonb(api_token) - 'last_used_at' from api_token
    order by 1, 2`.execute(api.database.db);
  return JSON.stringify(rows);
}

async function countAudit(api: TestApi): Promise<number> {
  return (await api.database.db.selectFrom('audit_event').select('seq').execute()).length;
}

type World = {
  readonly api: TestApi;
  readonly accounts: string[];
  readonly users: string[];
  readonly tokens: string[];
};
type Deed = { readonly name: string; readonly run: (world: World, pick: number) => Promise<Got> };

const picked = (ids: readonly string[], pick: number, prefix: string) =>
  ids[pick % (ids.length + 1)] ?? `${prefix}_0123456789abcdef0123456789abcdef`;

const deeds: readonly Deed[] = [
  {
    name: 'make an account',
    run: async ({ api, accounts }, pick) => {
      const got = await api.send('/accounts', {
        as: api.admin,
        body: { name: pick % 5 === 0 ? '' : `account ${pick}` },
      });
      if (got.status === 201) accounts.push(String(got.body['id']));
      return got;
    },
  },
  {
    name: 'change an account',
    run: async ({ api, accounts }, pick) => {
      const body = pick % 3 === 0 ? {} : { name: `name ${pick}`, inflight_limit: pick % 7 };
      const headers = pick % 4 === 0 ? { 'if-match': '"99"' } : {};
      return await api.send(`/accounts/${picked(accounts, pick, 'acc')}`, {
        as: api.admin,
        method: 'PATCH',
        body,
        headers,
      });
    },
  },
  {
    name: 'delete an account',
    run: ({ api, accounts }, pick) =>
      api.send(`/accounts/${picked(accounts, pick, 'acc')}`, { as: api.admin, method: 'DELETE' }),
  },
  {
    name: 'make a user',
    run: async ({ api, accounts, users }, pick) => {
      const email = `user${pick % 8}@example.com`;
      const body = { email, name: 'A', password: userPassword, account_id: picked(accounts, pick, 'acc') };
      const got = await api.send('/users', { as: api.admin, body });
      if (got.status === 201) users.push(String(got.body['id']));
      return got;
    },
  },
  {
    name: 'change a user',
    run: ({ api, users }, pick) => {
      const bodies = [
        {},
        { status: 'disabled' },
        { status: 'active' },
        { role: 'admin' },
        { email: 'user1@example.com' },
      ];
      return api.send(`/users/${picked(users, pick, 'usr')}`, {
        as: api.admin,
        method: 'PATCH',
        body: bodies[pick % 5],
      });
    },
  },
  {
    name: 'delete a user',
    run: ({ api, users }, pick) =>
      api.send(`/users/${picked(users, pick, 'usr')}`, { as: api.admin, method: 'DELETE' }),
  },
  {
    name: 'sign in',
    run: ({ api }, pick) => {
      const password = pick % 2 === 0 ? userPassword : 'not the password';
      return api.send('/session', { body: { email: `user${pick % 8}@example.com`, password } });
    },
  },
  {
    name: 'make a token',
    run: async ({ api, tokens }, pick) => {
      const some = pick % 3 === 0 ? ['no:scope'] : [scopes[pick % scopes.length]];
      const got = await api.send('/api-tokens', { as: api.admin, body: { name: 'a', scopes: some } });
      if (got.status === 201) tokens.push(String(got.body['id']));
      return got;
    },
  },
  {
    name: 'revoke a token',
    run: ({ api, tokens }, pick) =>
      api.send(`/api-tokens/${picked(tokens, pick, 'tok')}`, { as: api.admin, method: 'DELETE' }),
  },
];

test('a call that changes anything writes it down once, one that changes nothing writes at most a refusal', async () => {
  const step = fc.record({ deed: fc.constantFrom(...deeds), pick: fc.nat(1000) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 30 }), async (steps) => {
      await using api = await startApi(server);
      const world: World = { api, accounts: [], users: [], tokens: [] };
      for (const { deed, pick } of steps) {
        const [state, events] = [await stateOf(api), await countAudit(api)];
        const got = await deed.run(world, pick);
        const [isChanged, written] = [(await stateOf(api)) !== state, (await countAudit(api)) - events];
        const about = `${deed.name}: ${got.status} ${JSON.stringify(got.body)}`;
        if (isChanged) assert.ok(got.status < 300, about);
        const isRefusal = got.body['code'] === 'credentials_wrong';
        assert.equal(written, isChanged || isRefusal ? 1 : 0, about);
      }
      const { intact, events } = await verify(api);
      assert.deepEqual([intact, events], [true, await countAudit(api)]);
    }),
    { numRuns: 5 },
  );
});

test('changes at the same time, on two servers, form one chain without a gap', async () => {
  await using api = await startApi(server);
  const other = await api.another();
  const changes = [
    { path: '/accounts', body: { name: 'one' } },
    { path: '/api-tokens', body: { name: 'x', scopes: ['users:read'] } },
  ];
  const made = await Promise.all(
    Array.from({ length: 40 }, (_, index) => {
      const { path, body } = changes[index % 2]!;
      return sendTo(index % 4 < 2 ? api.url : other.url, path, { as: api.admin, body });
    }),
  );
  assert.deepEqual(new Set(made.map(({ status }) => status)), new Set([201]));
  const { intact, events, head } = await verify(api);
  assert.equal(intact, true);
  assert.equal((head as { seq: number }).seq, events);
});

for (const [what, statement] of [
  ['a changed field', "update audit_event set action = 'user.deleted' where seq = 3"],
  ['a changed detail', `update audit_event set details = '{"name":"other"}' where seq = 3`],
  ['a changed time', "update audit_event set created_at = created_at + interval '1 ms' where seq = 3"],
  ['a removed event', 'delete from audit_event where seq = 3'],
  ['a removed beginning', 'delete from audit_event where seq < 3'],
] as const) {
  test(`${what} is found`, async () => {
    await using api = await startApi(server);
    for (const name of ['one', 'two', 'three', 'four']) await api.makeAccount(name);
    const before = await verify(api);
    assert.equal(before['intact'], true);
    await sql.raw(statement).execute(api.database.db);
    const { intact, broken_at } = await verify(api);
    assert.equal(intact, false);
    assert.ok(broken_at === 3 || broken_at === 4, String(broken_at));
  });
}

test('the audit tells who did what to what, from where', async () => {
  await using api = await startApi(server);
  const accountId = await api.makeAccount('one');
  await api.send('/session', { body: { email: adminEmail, password: 'not the password' } });
  const { body } = await api.send('/audit-events?limit=2', { as: api.admin });
  const [refused, created] = body['items'] as Record<string, unknown>[];
  assert.equal(refused!['action'], 'session.refused');
  assert.deepEqual(refused!['details'], { email: adminEmail, code: 'credentials_wrong', ip: '127.0.0.1' });
  assert.equal(created!['action'], 'account.created');
  assert.equal(created!['resource'], `accounts/${accountId}`);
  assert.deepEqual([created!['actor_kind'], created!['actor_id']], ['user', api.admin.userId]);
  const { body: found } = await api.send(`/audit-events?resource=accounts/${accountId}&action=account.created`, {
    as: api.admin,
  });
  assert.deepEqual((found['items'] as object[]).length, 1);
});

test('passwords, tokens, codes and cookies are neither in the database nor in the log nor in any later answer', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'), { email: 'ann@example.com' });
  const token = await api.makeToken(ann, [...scopes]);
  const { body } = await api.send('/session/totp', { as: ann, method: 'POST' });
  const totpSecret = String(body['secret']);
  const code = new TOTP({ secret: totpSecret }).generate({ timestamp: api.clock.nowMs() });
  await api.send('/session/totp/actions/confirm', { as: ann, body: { code } });
  await api.send('/session', { body: { email: 'ann@example.com', password: 'the wrong password' } });
  const change = { current_password: userPassword, new_password: 'an even better password' };
  assert.equal((await api.send('/session/actions/change-password', { as: ann, body: change })).status, 204);
  const keyed = {
    as: api.admin,
    body: { name: 'k', scopes: ['users:read'] },
    headers: { 'idempotency-key': 'key-of-a-token' },
  };
  const other = String((await api.send('/api-tokens', keyed)).body['token']);
  // A failure of ours, so that the log has something to say.
  await sql`alter table setting rename to setting_away`.execute(api.database.db);
  await sql`alter table audit_event rename to audit_away`.execute(api.database.db);
  assert.equal(
    (await api.send('/session', { body: { email: adminEmail, password: 'the wrong password' } })).status,
    500,
  );
  await sql`alter table audit_away rename to audit_event`.execute(api.database.db);

  const secrets = {
    adminPassword,
    userPassword,
    'the wrong password': 'the wrong password',
    'the new password': 'an even better password',
    token,
    other,
    totpSecret,
    cookie: ann.cookie.split('=')[1]!,
    'idempotency key': 'key-of-a-token',
  };
  const { rows: tables } = await sql<{ name: string }>`
    select tablename as name from pg_tables where schemaname = 'public'`.execute(api.database.db);
  const database: string[] = [];
  for (const { name } of tables) {
    const { rows } = await sql`select to_jsonb(t)::text as row from ${sql.table(name)} as t`.execute(api.database.db);
    database.push(...rows.map((row) => JSON.stringify(row)));
  }
  const answers: string[] = [];
  for (const path of ['/users', '/api-tokens', '/sessions', '/audit-events', '/accounts', '/session', '/api/docs']) {
    for (const viewer of [ann, api.admin]) answers.push(JSON.stringify((await api.send(path, { as: viewer })).body));
  }
  assert.ok(database.length > 20 && api.logged.length > 0 && answers.length > 10);
  for (const [what, secret] of Object.entries(secrets)) {
    for (const [place, texts] of Object.entries({ database, log: api.logged, answers })) {
      assert.ok(!texts.some((text) => text.includes(secret)), `${what} is in the ${place}`);
    }
  }
  for (const text of answers) assert.doesNotMatch(text, /argon2id|token_hash|password_hash|totp_secret/);
});
