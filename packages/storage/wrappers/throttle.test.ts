import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock, MemoryStore } from '@holdfast/testing';
import { withThrottle } from './throttle.ts';

test('requests above the burst wait for their share of the rate', async () => {
  const clock = fakeClock();
  const store = withThrottle({ store: new MemoryStore(), requestsPerSecond: 10, clock, sleep: clock.sleep });
  let done = 0;
  const calls = Array.from({ length: 35 }, () => store.head('a').then(() => (done += 1)));
  await clock.advance(0);
  assert.equal(done, 10);
  await clock.advance(1000);
  assert.equal(done, 20);
  await clock.advance(1499);
  assert.equal(done, 34);
  await clock.advance(1);
  assert.equal(done, 35);
  await Promise.all(calls);
});

test('a pause gives the burst back, never more', async () => {
  const clock = fakeClock();
  const store = withThrottle({ store: new MemoryStore(), requestsPerSecond: 10, clock, sleep: clock.sleep });
  await clock.advance(3_600_000);
  let done = 0;
  const calls = Array.from({ length: 12 }, () => store.head('a').then(() => (done += 1)));
  await clock.advance(0);
  assert.equal(done, 10);
  await clock.advance(200);
  await Promise.all(calls);
});

test('bytes of puts are paid before, bytes of gets by the next call', async () => {
  const clock = fakeClock();
  const memory = new MemoryStore();
  await memory.put('big', { buffers: [Buffer.alloc(5000)] });
  const store = withThrottle({ store: memory, bytesPerSecond: 1000, clock, sleep: clock.sleep });
  assert.equal((await store.get('big')).length, 5000);
  let put = false;
  const call = store.put('a', { buffers: [Buffer.alloc(600), Buffer.alloc(400)] }).then(() => (put = true));
  await clock.advance(4999);
  assert.equal(put, false);
  await clock.advance(1);
  await call;
});

test('an object larger than the burst passes, at the average rate', async () => {
  const clock = fakeClock();
  const store = withThrottle({ store: new MemoryStore(), bytesPerSecond: 1000, clock, sleep: clock.sleep });
  let done = 0;
  const calls = ['a', 'b', 'c'].map((key) =>
    store.put(key, { buffers: [Buffer.alloc(10_000)] }).then(() => (done += 1)),
  );
  await clock.advance(0);
  assert.equal(done, 1);
  await clock.advance(9_999);
  assert.equal(done, 1);
  await clock.advance(1);
  assert.equal(done, 2);
  await clock.advance(10_000);
  await Promise.all(calls);
});

test('no more calls are in flight than connections, and those waiting come in order', async () => {
  const memory = new MemoryStore();
  let inFlight = 0;
  let most = 0;
  const order: string[] = [];
  const slow = Object.assign(memory, {
    head: async (key: string) => {
      inFlight += 1;
      most = Math.max(most, inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight -= 1;
      order.push(key);
      return undefined;
    },
  });
  const store = withThrottle({ store: slow, maxConnections: 3 });
  assert.equal(store.capabilities.maxConnections, 3);
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
  await Promise.all(keys.map((key) => store.head(key)));
  assert.equal(most, 3);
  assert.deepEqual(order, keys);
});

test('an aborted call leaves the queue without taking its turn or its share', async () => {
  const clock = fakeClock();
  const store = withThrottle({
    store: new MemoryStore(),
    requestsPerSecond: 1,
    maxConnections: 1,
    clock,
    sleep: clock.sleep,
  });
  await store.head('a');
  const controller = new AbortController();
  const sleeping = store.head('b', { signal: controller.signal });
  const queued = store.head('c', { signal: controller.signal });
  const last = store.head('d');
  controller.abort(new Error('enough'));
  await assert.rejects(sleeping, { message: 'enough' });
  await assert.rejects(queued, { message: 'enough' });
  await clock.advance(1000);
  await last;
  assert.equal(clock.sleepers, 0);
});

test('the consumer of a listing may use the only connection', async () => {
  const memory = new MemoryStore();
  for (const key of ['a', 'b', 'c']) await memory.put(key, { buffers: [Buffer.from(key)] });
  const store = withThrottle({ store: memory, maxConnections: 1 });
  const seen: string[] = [];
  for await (const { key } of store.list('')) seen.push((await store.get(key)).toString());
  assert.deepEqual(seen, ['a', 'b', 'c']);
});
