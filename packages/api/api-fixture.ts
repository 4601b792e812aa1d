/** The API as it is served, over HTTP on the loopback and a database of its own; with accounts and users to act as. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { createUser as createUserCall, type Role, type Scope } from '@holdfast/contracts';
import { HoldfastClient } from '@holdfast/client';
import { openDatabase } from '@holdfast/database';
import { bootstrapAdministrator, PasswordHasher, Seal } from '@holdfast/domain';
import { type FakeClock, fakeClock } from '@holdfast/testing';
import type { DatabaseServer, TestDatabase } from '@holdfast/testing/database';
import { fastify, type FastifyInstance } from 'fastify';
import { buildApi } from './build-api.ts';

export type Sent = {
  readonly method?: string;
  readonly body?: unknown;
  /** In place of `body`, as it is. */
  readonly text?: string | Uint8Array<ArrayBuffer>;
  readonly as?: Person | string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

/** What came back; JSON of a problem or an answer, undefined when there was none. */
export type Got = {
  readonly status: number;
  readonly headers: Headers;
  // Whatever it is, the test says what it must be.
  readonly body: Readonly<Record<string, unknown>>;
};

/** Somebody who is signed in. */
export type Person = { readonly cookie: string; readonly userId: string; readonly accountId: string };

export const adminEmail = 'admin@holdfast.local';
export const adminPassword = 'the first password';
export const userPassword = 'a password of a user';

export interface TestApi extends AsyncDisposable {
  readonly url: string;
  readonly database: TestDatabase;
  readonly clock: FakeClock;
  /** Everything that was logged. */
  readonly logged: string[];
  readonly admin: Person;
  send(path: string, sent?: Sent): Promise<Got>;
  logIn(email: string, password: string): Promise<Person>;
  makeAccount(name: string): Promise<string>;
  /** Signed in. */
  makeUser(accountId: string, options?: { readonly email?: string; readonly role?: Role }): Promise<Person>;
  makeToken(as: Person, scopes: readonly Scope[]): Promise<string>;
  client(token: string): HoldfastClient;
  /** Another server on the same database; stops with this one. */
  another(): Promise<{ readonly url: string }>;
}

/** @param options.pingMs of event streams */
export async function startApi(
  server: DatabaseServer,
  options: { readonly pingMs?: number; readonly requestsPerMinute?: number } = {},
): Promise<TestApi> {
  await using stack = new AsyncDisposableStack();
  let owner = stack;
  const database = stack.use(await server.makeDatabase());
  const clock = fakeClock(Date.UTC(2026, 10, 21, 12));
  const hasher = new PasswordHasher();
  await bootstrapAdministrator({ db: database.db, clock, hasher, email: adminEmail, password: adminPassword });
  const logged: string[] = [];
  const seal = new Seal(randomBytes(32));
  const serve = async (own: Pick<TestDatabase, 'db' | 'listen'>): Promise<{ readonly url: string }> => {
    const app = await buildApi({
      services: { database: own, clock, hasher, seal, version: '0.0.0-test' },
      tls: undefined,
      isSecure: false,
      isCertificateKnown: false,
      trustedProxies: [],
      requestsPerMinute: options.requestsPerMinute ?? 1_000_000,
      log: loggerInto(logged),
      ...(options.pingMs !== undefined && { pingMs: options.pingMs }),
    });
    owner.use({ [Symbol.asyncDispose]: () => app.close() });
    return { url: await app.listen({ host: '127.0.0.1', port: 0 }) };
  };
  const { url } = await serve(database);
  const send = (path: string, sent: Sent = {}): Promise<Got> => sendTo(url, path, sent);
  const logIn = async (email: string, password: string): Promise<Person> => {
    const { status, headers, body } = await send('/session', { body: { email, password } });
    assert.equal(status, 201, JSON.stringify(body));
    const cookie = headers.getSetCookie()[0]!.split(';', 1)[0]!;
    const { user, account } = body as { user: { id: string }; account: { id: string } };
    return { cookie, userId: user.id, accountId: account.id };
  };
  const admin = await logIn(adminEmail, adminPassword);
  let users = 0;
  const made = async (path: string, body: object, as: Person): Promise<Got['body']> => {
    // Ids of one millisecond have no order.
    await clock.advance(1);
    const got = await send(path, { body, as });
    assert.equal(got.status, 201, JSON.stringify(got.body));
    return got.body;
  };
  owner = stack.move();
  return {
    url,
    database,
    clock,
    logged,
    admin,
    send,
    logIn,
    makeAccount: async (name) => String((await made('/accounts', { name }, admin))['id']),
    async makeUser(accountId, { email = `user${(users += 1)}@example.com`, role = 'user' } = {}) {
      const body = { email, name: email, password: userPassword, role, account_id: accountId };
      await made(createUserCall.path, body, admin);
      return await logIn(email, userPassword);
    },
    makeToken: async (as, scopes) => String((await made('/api-tokens', { name: 'test', scopes }, as))['token']),
    client: (token) => new HoldfastClient({ server: url, token }),
    async another() {
      return await serve(owner.use(await openDatabase({ place: { kind: 'external', url: database.url } })));
    },
    [Symbol.asyncDispose]: () => owner.disposeAsync(),
  };
}

export async function sendTo(url: string, path: string, sent: Sent): Promise<Got> {
  const { body, text = body === undefined ? undefined : JSON.stringify(body), as, headers, signal } = sent;
  const response = await fetch(`${url}${path.startsWith('/api/') ? path : `/api/v1${path}`}`, {
    method: sent.method ?? (text === undefined ? 'GET' : 'POST'),
    headers: {
      ...(text !== undefined && { 'content-type': 'application/json' }),
      ...(typeof as === 'string' && { authorization: `Bearer ${as}` }),
      ...(typeof as === 'object' && { cookie: as.cookie }),
      ...headers,
    },
    ...(text !== undefined && { body: text }),
    ...(signal && { signal }),
  });
  const answered = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: answered === '' ? {} : (JSON.parse(answered) as Got['body']),
  };
}

/** That it is a problem, whole, with this code. */
export function assertProblem(got: Got, code: string): void {
  assert.equal(got.body['code'], code, JSON.stringify(got.body));
  assert.match(got.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(got.body['status'], got.status);
  for (const field of ['type', 'title', 'detail', 'remedy', 'instance']) {
    assert.equal(typeof got.body[field], 'string', `${field} of ${JSON.stringify(got.body)}`);
  }
}

function loggerInto(lines: string[]): FastifyInstance['log'] {
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  return fastify({ logger: { level: 'debug', stream } }).log;
}
