/** What is wrong with a request is said clearly, and never taken for a failure of the server. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { endpoints } from '@holdfast/contracts';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import fc from 'fast-check';
import { assertProblem, startApi, type TestApi } from './api-fixture.ts';

let server: DatabaseServer;
let api: TestApi;
before(async () => {
  server = await startDatabaseServer();
  api = await startApi(server);
});
after(async () => {
  await api[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

for (const [what, sent, code] of [
  ['no JSON', { text: '{"name": ' }, 'json_malformed'],
  ['an empty body', { text: '' }, 'json_malformed'],
  ['two documents', { text: '{"name":"a"}{"name":"b"}' }, 'json_malformed'],
  ['a prototype', { text: '{"name":"a","__proto__":{"role":"admin"}}' }, 'json_malformed'],
  ['a constructor', { text: '{"name":"a","constructor":{"prototype":{"x":1}}}' }, 'json_malformed'],
  ['a list', { body: [] }, 'request_invalid'],
  ['null', { text: 'null' }, 'request_invalid'],
  ['a field of another type', { body: { name: 7 } }, 'request_invalid'],
  ['a field that is missing', { body: {} }, 'request_invalid'],
  ['an unknown field', { body: { name: 'a', nmae: 'b' } }, 'request_invalid'],
  ['a NUL', { body: { name: 'a\u0000b' } }, 'request_invalid'],
  ['half a character', { text: '{"name":"a\\ud800b"}' }, 'request_invalid'],
  ['a number that is too large', { body: { name: 'a', inflight_limit: 1e300 } }, 'request_invalid'],
  ['a fraction', { body: { name: 'a', inflight_limit: 1.5 } }, 'request_invalid'],
  ['a huge body', { text: JSON.stringify({ name: 'x'.repeat(1024 * 1024) }) }, 'body_too_large'],
  ['a deep body', { text: `${'['.repeat(100_000)}${']'.repeat(100_000)}` }, 'request_invalid'],
  [
    'a form',
    { text: 'name=a', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    'media_type_unsupported',
  ],
  ['plain text', { text: '{"name":"a"}', headers: { 'content-type': 'text/plain' } }, 'media_type_unsupported'],
] as const) {
  test(`${what} is ${code}`, async () => {
    const got = await api.send('/accounts', { as: api.admin, method: 'POST', ...sent });
    assertProblem(got, code);
    assert.ok(got.status >= 400 && got.status < 500);
  });
}

test('each field that is wrong is named, with what it should be', async () => {
  const body = { email: 'ann', name: '', password: 'short', role: 'boss', account_id: 'acc_1', admin: true };
  const { body: problem } = await api.send('/users', { as: api.admin, body });
  const errors = problem['errors'] as { pointer: string; message: string }[];
  assert.deepEqual(
    errors.map(({ pointer }) => pointer).toSorted(),
    ['account_id', 'admin', 'email', 'name', 'password', 'role'].map((name) => `/body/${name}`),
  );
  for (const { message } of errors) assert.match(message, /^[A-Z].*[.!]$/);
  assert.match(String(problem['detail']), /And 3 more\.$/);
});

test('a wrong query and a wrong id are named as well', async () => {
  for (const [path, pointer] of [
    ['/users?limit=0', '/query/limit'],
    ['/users?limit=201', '/query/limit'],
    ['/users?limit=many', '/query/limit'],
    ['/users?limit=1&limit=2', '/query/limit'],
    ['/users?nope=1', '/query/nope'],
    ['/users?cursor=nonsense', '/query/cursor'],
    ['/users/usr_1', '/params/user_id'],
    [`/users/${encodeURIComponent('../accounts')}`, '/params/user_id'],
    ['/audit-events?since=yesterday', '/query/since'],
    ['/audit-events?action=%00', '/query/action'],
    ['/events?topics=*', '/query/topics'],
  ] as const) {
    const got = await api.send(path, { as: api.admin });
    assertProblem(got, 'request_invalid');
    assert.deepEqual(
      (got.body['errors'] as { pointer: string }[]).map((error) => error.pointer),
      [pointer],
      path,
    );
  }
});

test('a path or method that there is not is a problem too', async () => {
  for (const sent of [
    ['/nothing', {}],
    ['/api/v2/users', {}],
    ['/users', { method: 'DELETE' }],
    ['/users/%E0%A4%A', {}],
    [`/users/${'x'.repeat(5000)}`, {}],
  ] as const) {
    const got = await api.send(sent[0], { as: api.admin, ...sent[1] });
    assert.ok(got.status >= 400 && got.status < 500, `${sent[0].slice(0, 40)}: ${got.status}`);
    assert.match(got.headers.get('content-type') ?? '', /^application\/problem\+json/);
  }
});

for (const [what, sent] of [
  ['what is no HTTP', 'hello there\r\n\r\n'],
  ['a header that is none', 'GET / HTTP/1.1\r\nhost: x\r\nno colon here\r\n\r\n'],
  ['a length that is none', 'POST /api/v1/session HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n'],
  ['headers without an end', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`],
] as const) {
  test(`${what} gets a 400 and goes`, async () => {
    const { port } = new URL(api.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(sent);
    const answer = await text(socket);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /);
    assert.match(answer, /application\/problem\+json/);
  });
}

test('whatever JSON is sent to whatever call, the answer is an answer or a problem, never a failure of ours', async () => {
  const wild = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.dictionary(
      fc.constantFrom('email', 'name', 'password', 'scopes', 'role', 'code', 'account_id', 'expires_at'),
      fc.jsonValue(),
    ),
  );
  const target = fc.constantFrom(...endpoints.filter(({ id, answers }) => id !== 'log_out' && !answers));
  const id = fc.oneof(
    fc.string({ maxLength: 50 }),
    fc.constantFrom('usr_', 'acc_').map((prefix) => prefix + '0'.repeat(32)),
  );
  await fc.assert(
    fc.asyncProperty(
      target,
      wild,
      id,
      fc.option(fc.string({ maxLength: 30 })),
      async (endpoint, body, value, query) => {
        const path = endpoint.path.replace(/:[a-z_]+/, encodeURIComponent(value) || 'x');
        const search = query === null ? '' : `?${encodeURIComponent(query)}=${encodeURIComponent(query)}`;
        const hasBody = endpoint.method !== 'GET' && endpoint.body !== undefined;
        const got = await api.send(path + search, { as: api.admin, method: endpoint.method, ...(hasBody && { body }) });
        assert.ok(got.status < 500, JSON.stringify(got.body));
        if (got.status >= 400) assertProblem(got, String(got.body['code']));
      },
    ),
    { numRuns: 300 },
  );
});

test('too many requests from one place are refused for a while', async () => {
  await using limited = await startApi(server, { requestsPerMinute: 20 });
  const got = await Promise.all(Array.from({ length: 30 }, () => limited.send('/health')));
  const refused = got.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 10 && refused.length <= 12, String(refused.length));
  assertProblem(refused[0]!, 'rate_limited');
  assert.ok(Number(refused[0]!.headers.get('retry-after')) > 0);
});

test('when the database is away it is said, and that it may come back', async () => {
  const own = await startDatabaseServer();
  const alone = await startApi(own);
  assert.equal((await alone.send('/health')).status, 200);
  await own[Symbol.asyncDispose]();
  const got = await alone.send('/health');
  assertProblem(got, 'database_unreachable');
  assert.deepEqual([got.status, got.body['retryable']], [503, true]);
  // Its database cannot be dropped any more.
  await assert.rejects(async () => await alone[Symbol.asyncDispose]());
});
