/** Invariant 14: nothing of another account can be reached. And who may call what, for every endpoint there is. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type EndpointSpecification, endpoints, scopes } from '@holdfast/contracts';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { assertProblem, type Got, type Person, startApi, type TestApi } from './api-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const hex = '0123456789abcdef0123456789abcdef';

/** For each path parameter that there is: an id that nobody has, and how to make one for somebody. */
const parameters: Readonly<
  Record<string, { readonly none: string; readonly make: (api: TestApi, owner: Person) => Promise<string> }>
> = {
  account_id: { none: `acc_${hex}`, make: async (_api, owner) => owner.accountId },
  user_id: { none: `usr_${hex}`, make: async (_api, owner) => owner.userId },
  session_id: {
    none: `lgn_${hex}`,
    make: async (api, owner) => {
      const { body } = await api.send('/sessions', { as: owner });
      return (body['items'] as { id: string }[])[0]!.id;
    },
  },
  token_id: {
    none: `tok_${hex}`,
    make: async (api, owner) => {
      const { body } = await api.send('/api-tokens', { as: owner, body: { name: 'theirs', scopes: ['users:read'] } });
      return String(body['id']);
    },
  },
};

/** A body that every schema with it takes. */
const bodies: Readonly<Record<string, object>> = {
  update_account: { name: 'taken over' },
  update_user: { name: 'taken over' },
};

const withParameter = endpoints.filter(({ params }) => params !== undefined);

function parameterOf({ id, path }: EndpointSpecification): string {
  const name = /:([a-z_]+)/.exec(path)?.[1] ?? '';
  assert.ok(name in parameters, `say above how to make a ${name}, so that ${id} is tested too`);
  return name;
}

function call(
  api: TestApi,
  { id, method, path }: EndpointSpecification,
  value: string,
  as: Person | string,
): Promise<Got> {
  const body = bodies[id];
  return api.send(path.replace(/:[a-z_]+/, value), { as, method, ...(body && { body }) });
}

test('an id of another account is answered word for word like one that does not exist', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'));
  const bob = await api.makeUser(await api.makeAccount('two'));
  const token = await api.makeToken(ann, [...scopes]);
  let looked = 0;
  for (const endpoint of withParameter) {
    const { none, make } = parameters[parameterOf(endpoint)]!;
    const foreign = await make(api, bob);
    for (const as of [ann, token]) {
      const [got, expected] = [await call(api, endpoint, foreign, as), await call(api, endpoint, none, as)];
      const plain = ({ status, body }: Got, id: string) =>
        JSON.stringify([status, { ...body, instance: '' }]).replaceAll(id, 'ID');
      assert.equal(plain(got, foreign), plain(expected, none), endpoint.id);
      assert.ok([404, 403].includes(got.status), `${endpoint.id}: ${got.status}`);
      // Refused for the role or the kind of credential: then no id is looked at at all.
      if (got.status === 403) assert.ok(['permission_denied', 'session_required'].includes(String(got.body['code'])));
      else looked += 1;
    }
  }
  assert.ok(looked >= 9, `${looked} calls got as far as the id`);
  assert.equal((await api.send('/session', { as: bob })).status, 200, 'nothing of the other changed');
});

test('lists, events and the audit of a user hold nothing of another account', async () => {
  await using api = await startApi(server);
  const [one, two] = [await api.makeAccount('one'), await api.makeAccount('two')];
  const [ann, bob] = [await api.makeUser(one), await api.makeUser(two)];
  for (const person of [ann, bob]) await api.makeToken(person, ['users:read']);
  const lists = endpoints.filter(({ method, query, answers }) => method === 'GET' && query && !answers);
  assert.ok(lists.length >= 5);
  for (const { path, id } of lists) {
    const { status, body } = await api.send(`${path}?limit=200&count=true`, { as: ann });
    assert.equal(status, 200, id);
    const items = body['items'] as object[];
    assert.ok(items.length > 0, id);
    assert.equal(body['count'], items.length, `${id} counts what is seen`);
    const text = JSON.stringify(body);
    for (const foreign of [two, bob.userId, api.admin.userId, api.admin.accountId]) {
      // Who made the account is told; what they have is not.
      if (id === 'list_audit_events' && foreign === api.admin.userId) continue;
      assert.ok(!text.includes(foreign), `${id} tells ${foreign}`);
    }
  }
});

test('who acts for two accounts sees one at a time, and nobody sees the other through them', async () => {
  await using api = await startApi(server);
  const [one, two] = [await api.makeAccount('one'), await api.makeAccount('two')];
  const [ann, bob] = [await api.makeUser(one), await api.makeUser(two)];
  const now = new Date(api.clock.nowMs());
  const membership = { id: `mem_${hex}`, account_id: two, user_id: ann.userId, role: 'member' as const };
  await api.database.db
    .insertInto('membership')
    .values({ ...membership, created_at: now, updated_at: now })
    .execute();
  const seenBy = async (as: Person) => {
    const { body } = await api.send('/users', { as });
    return (body['items'] as { id: string; account_ids: string[] }[]).map(({ id, account_ids }) => [id, account_ids]);
  };
  assert.deepEqual(await seenBy(ann), [[ann.userId, [one]]]);
  assert.deepEqual(await seenBy(bob), [
    [ann.userId, [two]],
    [bob.userId, [two]],
  ]);
});

type Caller = {
  readonly who: string;
  readonly as: Person | string | undefined;
  readonly may: (e: EndpointSpecification) => boolean;
};

test('every endpoint lets in exactly whom its access names', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'));
  const all = [...scopes];
  const role = ({ access }: EndpointSpecification) => (typeof access === 'object' ? access.role : undefined);
  const scopeOf = ({ access }: EndpointSpecification) => (typeof access === 'object' ? access.scope : undefined);
  const callers: Caller[] = [
    { who: 'nobody', as: undefined, may: ({ access }) => access === 'public' },
    { who: 'a user', as: ann, may: (e) => role(e) === undefined },
    { who: 'an administrator', as: api.admin, may: () => true },
    {
      who: 'a token of an administrator with all scopes',
      as: await api.makeToken(api.admin, all),
      may: ({ access }) => access !== 'session',
    },
    {
      who: 'a token of a user with all scopes',
      as: await api.makeToken(ann, all),
      may: (e) => e.access !== 'session' && role(e) === undefined,
    },
  ];
  for (const scope of all) {
    const as = await api.makeToken(
      api.admin,
      all.filter((other) => other !== scope),
    );
    callers.push({ who: `a token without ${scope}`, as, may: (e) => e.access !== 'session' && scopeOf(e) !== scope });
  }
  for (const endpoint of endpoints) {
    const name = /:([a-z_]+)/.exec(endpoint.path)?.[1];
    const path = name === undefined ? endpoint.path : endpoint.path.replace(/:[a-z_]+/, parameters[name]!.none);
    for (const { who, as, may } of callers) {
      // What is let in finds a wrong body, an id that nobody has, or a page: anything but a refusal. It is not signed out.
      const isSignOut = endpoint.id === 'log_out';
      if (may(endpoint) && (isSignOut || endpoint.answers === 'event_stream')) continue;
      const got = await api.send(path, {
        as,
        method: endpoint.method,
        ...(endpoint.body && { body: { no_such_field: 1 } }),
      });
      const isRefused = got.status === 401 || got.status === 403;
      assert.equal(isRefused, !may(endpoint), `${who}, ${endpoint.id}: ${got.status} ${JSON.stringify(got.body)}`);
      if (isRefused && as !== undefined) {
        assert.ok(
          ['session_required', 'scope_missing', 'permission_denied'].includes(String(got.body['code'])),
          JSON.stringify(got.body),
        );
      }
    }
  }
  assertProblem(await api.send('/users', { as: ann, body: {} }), 'permission_denied');
});
