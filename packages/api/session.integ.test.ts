/** Signing in, and what it is worth, over HTTP. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { TOTP } from 'otpauth';
import { adminEmail, adminPassword, assertProblem, startApi, type TestApi, userPassword } from './api-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

const logIn = (api: TestApi, email: string, password: string, more: object = {}, headers = {}) =>
  api.send('/session', { body: { email, password, ...more }, headers });

test('a session says who one is, and ends when one signs out', async () => {
  await using api = await startApi(server);
  const got = await logIn(api, ' Admin@Holdfast.LOCAL ', adminPassword);
  assert.equal(got.status, 201);
  const [cookie = ''] = got.headers.getSetCookie();
  for (const part of [/^holdfast=[\w-]{43};/, /; HttpOnly/, /; SameSite=Strict/, /; Path=\//])
    assert.match(cookie, part);
  const as = { cookie: cookie.split(';', 1)[0]!, userId: '', accountId: '' };
  const who = await api.send('/session', { as });
  assert.deepEqual(who.body, got.body);
  assert.equal(who.body['by'], 'session');
  const out = await api.send('/session', { as, method: 'DELETE' });
  assert.equal(out.status, 204);
  assert.match(out.headers.getSetCookie()[0]!, /^holdfast=;.*(Max-Age=0|Expires=Thu, 01 Jan 1970)/);
  assertProblem(await api.send('/session', { as }), 'session_invalid');
});

test('without credentials, or with some that are none, nobody comes in and is told where to', async () => {
  await using api = await startApi(server);
  const anonymous = await api.send('/users');
  assertProblem(anonymous, 'unauthenticated');
  assert.equal(anonymous.status, 401);
  assert.deepEqual(anonymous.body['remedies'], [{ action: 'log_in', href: '/api/v1/session', method: 'POST' }]);
  assert.ok(anonymous.headers.has('www-authenticate'));
  assertProblem(await api.send('/users', { headers: { cookie: 'holdfast=x' } }), 'session_invalid');
  assertProblem(await api.send('/users', { headers: { authorization: 'Basic YTpi' } }), 'unauthenticated');
  assertProblem(await api.send('/users', { as: 'hf_nothing' }), 'token_invalid');
  const token = await api.makeToken(api.admin, ['users:read']);
  const last = token.endsWith('0') ? '1' : '0';
  assertProblem(await api.send('/users', { as: token.slice(0, -1) + last }), 'token_invalid');
  assert.equal((await api.send('/users', { as: token })).status, 200);
});

test('address and password have to be right, and it is not told which is not', async () => {
  await using api = await startApi(server);
  const wrong = await logIn(api, adminEmail, 'not the password');
  const nobody = await logIn(api, 'nobody@example.com', 'not the password');
  for (const got of [wrong, nobody]) assertProblem(got, 'credentials_wrong');
  assert.equal(wrong.body['detail'], nobody.body['detail']);
  assert.equal(wrong.headers.getSetCookie().length, 0);
});

test('a disabled user is out at once, with session and token', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'), { email: 'ann@example.com' });
  const token = await api.makeToken(ann, ['users:read']);
  const disabled = await api.send(`/users/${ann.userId}`, {
    as: api.admin,
    method: 'PATCH',
    body: { status: 'disabled' },
  });
  assert.equal(disabled.status, 200);
  assertProblem(await api.send('/session', { as: ann }), 'session_invalid');
  assertProblem(await api.send('/users', { as: token }), 'token_invalid');
  assertProblem(await logIn(api, 'ann@example.com', userPassword), 'credentials_wrong');
});

test('a session ends after twelve hours without use, and after seven days with', async () => {
  await using api = await startApi(server);
  const hourMs = 60 * 60_000;
  for (let hours = 0; hours < 7 * 24 - 11; hours += 11) {
    assert.equal((await api.send('/session', { as: api.admin })).status, 200, `${hours} hours`);
    await api.clock.advance(11 * hourMs);
  }
  await api.clock.advance(11 * hourMs);
  assertProblem(await api.send('/session', { as: api.admin }), 'session_invalid');
  const again = await api.logIn(adminEmail, adminPassword);
  await api.clock.advance(12 * hourMs);
  assertProblem(await api.send('/session', { as: again }), 'session_invalid');
});

test('of the own sessions one can be ended; another person does not see it', async () => {
  await using api = await startApi(server);
  const other = await api.logIn(adminEmail, adminPassword);
  const { body } = await api.send('/sessions', { as: api.admin });
  const items = body['items'] as { id: string; current: boolean }[];
  assert.equal(items.length, 2);
  const [theirs] = items.filter(({ current }) => !current);
  const ann = await api.makeUser(await api.makeAccount('one'));
  assertProblem(await api.send(`/sessions/${theirs!.id}`, { as: ann, method: 'DELETE' }), 'session_not_found');
  assert.equal((await api.send(`/sessions/${theirs!.id}`, { as: api.admin, method: 'DELETE' })).status, 204);
  assertProblem(await api.send('/session', { as: other }), 'session_invalid');
  assert.equal((await api.send('/session', { as: api.admin })).status, 200);
});

test('a new password takes the old one, and ends the other sessions', async () => {
  await using api = await startApi(server);
  const other = await api.logIn(adminEmail, adminPassword);
  const path = '/session/actions/change-password';
  const change = (current_password: string, new_password: string) =>
    api.send(path, { as: api.admin, body: { current_password, new_password } });
  assertProblem(await change('not the password', 'a better password'), 'credentials_wrong');
  assertProblem(await change(adminPassword, 'short'), 'request_invalid');
  assert.equal((await change(adminPassword, 'a better password')).status, 204);
  assertProblem(await api.send('/session', { as: other }), 'session_invalid');
  assert.equal((await api.send('/session', { as: api.admin })).status, 200);
  assertProblem(await logIn(api, adminEmail, adminPassword), 'credentials_wrong');
  await api.logIn(adminEmail, 'a better password');
  const token = await api.makeToken(api.admin, ['users:read']);
  assertProblem(
    await api.send(path, { as: token, body: { current_password: 'x', new_password: 'another password' } }),
    'session_required',
  );
});

test('requests that another site makes with the cookie are refused', async () => {
  await using api = await startApi(server);
  const body = { name: 'by another site' };
  const foreign: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site', origin: api.url },
  ];
  for (const headers of foreign) {
    assertProblem(await api.send('/accounts', { as: api.admin, body, headers }), 'cross_site_refused');
    assertProblem(await logIn(api, adminEmail, adminPassword, {}, headers), 'cross_site_refused');
  }
  assert.equal((await api.send('/accounts', { as: api.admin, body, headers: { origin: api.url } })).status, 201);
  const token = await api.makeToken(api.admin, ['accounts:write']);
  // Whoever has the token needs no browser.
  assert.equal((await api.send('/accounts', { as: token, body, headers: foreign[0]! })).status, 201);
});

test('after five wrong passwords nobody guesses on from there for a quarter of an hour, also at the same time', async () => {
  await using api = await startApi(server);
  const guesses = await Promise.all(
    Array.from({ length: 20 }, (_, index) => logIn(api, adminEmail, `guess number ${index}`)),
  );
  const tried = guesses.filter(({ status }) => status === 401);
  const refused = guesses.filter(({ status }) => status === 429);
  assert.equal(tried.length + refused.length, 20);
  assert.ok(tried.length <= 5, `${tried.length} were tried`);
  for (const got of refused) assertProblem(got, 'login_rate_limited');
  for (let turn = tried.length; turn < 5; turn += 1) {
    assertProblem(await logIn(api, adminEmail, 'one more'), 'credentials_wrong');
  }
  const right = await logIn(api, adminEmail, adminPassword);
  assertProblem(right, 'login_rate_limited');
  const waitS = Number(right.headers.get('retry-after'));
  assert.equal(waitS, right.body['retry_after_s']);
  assert.ok(waitS > 14 * 60 && waitS <= 15 * 60, String(waitS));
  await api.clock.advance((waitS - 2) * 1000);
  assertProblem(await logIn(api, adminEmail, adminPassword), 'login_rate_limited');
  await api.clock.advance(3000);
  await api.logIn(adminEmail, adminPassword);
});

test('many addresses cannot be tried from one place, and others are not locked out by it', async () => {
  await using api = await startApi(server);
  for (let turn = 0; turn < 30; turn += 1) {
    assertProblem(await logIn(api, `someone${turn}@example.com`, 'guess'), 'credentials_wrong');
  }
  assertProblem(await logIn(api, 'one.more@example.com', 'guess'), 'login_rate_limited');
});

test('signing in with a code: set up, once each, turned off', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'), { email: 'ann@example.com' });
  assertProblem(
    await api.send('/session/totp/actions/confirm', { as: ann, body: { code: '000000' } }),
    'totp_not_enrolled',
  );
  const enrolled = await api.send('/session/totp', { as: ann, method: 'POST' });
  assert.equal(enrolled.status, 201);
  const { secret, uri } = enrolled.body as { secret: string; uri: string };
  assert.match(uri, /^otpauth:\/\/totp\/Holdfast:ann%40example\.com\?.*secret=/);
  // It does nothing yet: whoever breaks off here can still sign in.
  await api.logIn('ann@example.com', userPassword);

  const totp = new TOTP({ secret });
  const code = () => totp.generate({ timestamp: api.clock.nowMs() });
  const confirm = (given: string) => api.send('/session/totp/actions/confirm', { as: ann, body: { code: given } });
  const wrong = code() === '123456' ? '654321' : '123456';
  assertProblem(await confirm(wrong), 'totp_wrong');
  assert.equal((await confirm(code())).status, 204);
  assertProblem(await confirm(code()), 'totp_enabled');
  assertProblem(await api.send('/session/totp', { as: ann, method: 'POST' }), 'totp_enabled');

  assertProblem(await logIn(api, 'ann@example.com', userPassword), 'totp_required');
  assertProblem(await logIn(api, 'ann@example.com', userPassword, { totp_code: code() }), 'totp_wrong');
  await api.clock.advance(30_000);
  assertProblem(await logIn(api, 'ann@example.com', 'not the password', { totp_code: code() }), 'credentials_wrong');
  const attempts = await Promise.all(
    Array.from({ length: 4 }, () => logIn(api, 'ann@example.com', userPassword, { totp_code: code() })),
  );
  assert.equal(attempts.filter(({ status }) => status === 201).length, 1, 'a code counts once');

  await api.clock.advance(30_000);
  assertProblem(await api.send('/session/totp/actions/disable', { as: ann, body: { code: wrong } }), 'totp_wrong');
  assert.equal((await api.send('/session/totp/actions/disable', { as: ann, body: { code: code() } })).status, 204);
  await api.logIn('ann@example.com', userPassword);
});

test('an administrator turns the code off for somebody who lost the device', async () => {
  await using api = await startApi(server);
  const ann = await api.makeUser(await api.makeAccount('one'), { email: 'ann@example.com' });
  const { body } = await api.send('/session/totp', { as: ann, method: 'POST' });
  const code = new TOTP({ secret: String(body['secret']) }).generate({ timestamp: api.clock.nowMs() });
  await api.send('/session/totp/actions/confirm', { as: ann, body: { code } });
  assertProblem(await logIn(api, 'ann@example.com', userPassword), 'totp_required');
  const change = { as: api.admin, method: 'PATCH', body: { totp_enabled: false } };
  assert.equal((await api.send(`/users/${ann.userId}`, change)).body['totp_enabled'], false);
  await api.logIn('ann@example.com', userPassword);
});
