/** Events over SSE: in order, each once, for whom they are, from where one left off. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { HoldfastClient, parseServerSentEvents } from '@holdfast/client';
import { createAccount, type Event, streamEvents } from '@holdfast/contracts';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { assertProblem, type Person, startApi, type TestApi } from './api-fixture.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

type Follow = {
  readonly url?: string;
  readonly as: Person | string;
  readonly query?: { readonly topics?: string; readonly account_id?: string };
  readonly lastEventId?: number;
};

/** Everything that comes, until it is enough. */
class Follower implements AsyncDisposable {
  readonly seen: Event[] = [];
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;

  private constructor(body: AsyncIterable<Uint8Array>, stop: AbortController) {
    this.#stop = stop;
    this.#ended = this.#read(body).catch(() => undefined);
  }

  static async start(api: TestApi, { url = api.url, as, query = {}, lastEventId }: Follow): Promise<Follower> {
    const stop = new AbortController();
    const client = new HoldfastClient({ server: url, token: typeof as === 'string' ? as : undefined });
    const headers = {
      ...(typeof as === 'object' && { cookie: as.cookie }),
      ...(lastEventId !== undefined && { 'last-event-id': String(lastEventId) }),
    };
    return new Follower(await client.stream(streamEvents, { query }, { headers, signal: stop.signal }), stop);
  }

  /** @throws Error when they do not come in time */
  async until(count: number): Promise<readonly Event[]> {
    for (let turn = 0; turn < 500 && this.seen.length < count; turn += 1) await delay(10);
    assert.ok(this.seen.length >= count, `${this.seen.length} events came, not ${count}`);
    return this.seen;
  }

  async ended(): Promise<void> {
    await Promise.race([
      this.#ended,
      delay(5000, undefined, { ref: false }).then(() => assert.fail('the stream did not end')),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const { id, type, data } of parseServerSentEvents(body)) {
      const event = JSON.parse(data) as Event;
      assert.deepEqual([id, type], [String(event.seq), event.topic]);
      this.seen.push(event);
    }
  }
}

test('what happens comes while it happens, in order', async () => {
  await using api = await startApi(server);
  await using follower = await Follower.start(api, { as: api.admin });
  const ids = [await api.makeAccount('one'), await api.makeAccount('two'), await api.makeAccount('three')];
  const seen = (await follower.until(3)).filter(({ topic }) => topic === 'account.created');
  assert.deepEqual(
    seen.map(({ payload }) => payload['resource']),
    ids.map((id) => `accounts/${id}`),
  );
  assert.deepEqual(
    seen.map(({ account_id }) => account_id),
    ids,
  );
});

test('with many writers on two servers nothing is missed, doubled or out of order, for any follower', async () => {
  await using api = await startApi(server);
  const other = await api.another();
  await using here = await Follower.start(api, { as: api.admin, query: { topics: 'account.created' } });
  await using there = await Follower.start(api, { as: api.admin, url: other.url, query: { topics: 'account.*' } });
  const token = await api.makeToken(api.admin, ['accounts:write']);
  const writers = [api.url, other.url, api.url, other.url].map((url) => new HoldfastClient({ server: url, token }));
  const made = await Promise.all(
    writers.map(async (client, writer) => {
      const ids: string[] = [];
      for (let turn = 0; turn < 25; turn += 1) {
        const { answer } = await client.call(createAccount, { body: { name: `writer ${writer}, ${turn}` } });
        ids.push(`accounts/${answer.id}`);
      }
      return ids;
    }),
  );
  for (const follower of [here, there]) {
    const seen = await follower.until(100);
    assert.equal(seen.length, 100);
    for (const [index, { seq }] of seen.entries()) assert.ok(index === 0 || seq > seen[index - 1]!.seq);
    const resources = seen.map(({ payload }) => String(payload['resource']));
    assert.equal(new Set(resources).size, 100);
    // Each writer's own come in the order in which they were made.
    for (const ids of made)
      assert.deepEqual(
        resources.filter((id) => ids.includes(id)),
        ids,
      );
  }
  assert.deepEqual(here.seen, there.seen);
  // From wherever one resumes, the rest is the same.
  for (const from of [0, 1, 50, 99]) {
    await using again = await Follower.start(api, {
      as: api.admin,
      query: { topics: 'account.created' },
      lastEventId: here.seen[from]!.seq,
    });
    assert.deepEqual((await again.until(99 - from)).slice(), here.seen.slice(from + 1));
  }
});

test('a user gets the events of their account, an administrator those of the account asked for', async () => {
  await using api = await startApi(server);
  const [one, two] = [await api.makeAccount('one'), await api.makeAccount('two')];
  const ann = await api.makeUser(one);
  await using own = await Follower.start(api, { as: ann, query: { topics: 'account.updated' } });
  const query = { account_id: two, topics: 'account.updated' };
  await using chosen = await Follower.start(api, { as: api.admin, query });
  assertProblem(await api.send(`/events?account_id=${two}`, { as: ann }), 'account_not_found');
  for (const id of [two, one, two]) {
    await api.send(`/accounts/${id}`, { as: api.admin, method: 'PATCH', body: { locale: 'de' } });
  }
  assert.deepEqual(
    (await chosen.until(2)).map(({ account_id }) => account_id),
    [two, two],
  );
  assert.deepEqual(
    (await own.until(1)).map(({ account_id }) => account_id),
    [one],
  );
});

test('a stream ends with the session that follows it', async () => {
  await using api = await startApi(server, { pingMs: 50 });
  const ann = await api.makeUser(await api.makeAccount('one'));
  await using follower = await Follower.start(api, { as: ann });
  await api.send('/session', { as: ann, method: 'DELETE' });
  await follower.ended();
});

test('a stream ends when the server stops, which it does at once', async () => {
  await using stack = new AsyncDisposableStack();
  const api = stack.use(await startApi(server));
  const follower = stack.use(await Follower.start(api, { as: api.admin }));
  const startedMs = performance.now();
  await api[Symbol.asyncDispose]();
  await follower.ended();
  assert.ok(performance.now() - startedMs < 2000);
});

test('a user follows so many streams and no more', async () => {
  await using api = await startApi(server);
  await using stack = new AsyncDisposableStack();
  for (let count = 0; count < 20; count += 1) stack.use(await Follower.start(api, { as: api.admin }));
  assertProblem(await api.send('/events', { as: api.admin }), 'rate_limited');
  await stack.disposeAsync();
  for (let turn = 0; turn < 100; turn += 1) {
    try {
      await using _free = await Follower.start(api, { as: api.admin });
      return;
    } catch {
      await delay(20);
    }
  }
  assert.fail('a place did not come free');
});

test('where one resumes has to be an event', async () => {
  await using api = await startApi(server);
  assertProblem(await api.send('/events', { as: api.admin, headers: { 'last-event-id': 'x' } }), 'request_invalid');
});
