import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode } from '@holdfast/base';
import { type Fault, faultsAt, faultyStore, MemoryStore, randomFaults } from '@holdfast/testing';
import { type RetryEvent, type RetryOptions, withRetry } from './retry.ts';

const unreachable: Fault = { kind: 'fail', code: 'storage_unreachable' };

function retried(faults: Readonly<Record<number, Fault>>, options: Partial<RetryOptions> = {}) {
  const memory = new MemoryStore();
  const faulty = faultyStore({ store: memory, script: faultsAt(faults) });
  const events: RetryEvent[] = [];
  const store = withRetry({
    store: faulty,
    sleep: async () => {},
    onRetry: (event) => events.push(event),
    ...options,
  });
  return { memory, faulty, store, events };
}

test('every verb is tried again while the storage cannot be reached', async () => {
  const { store, events } = retried({ 1: unreachable, 3: unreachable, 5: unreachable, 7: unreachable, 9: unreachable });
  await store.put('a', { buffers: [Buffer.from('x')] });
  assert.equal((await store.get('a')).toString(), 'x');
  assert.equal((await store.head('a'))?.sizeBytes, 1);
  assert.equal((await Array.fromAsync(store.list(''))).length, 1);
  await store.delete('a');
  assert.equal(events.length, 5);
});

test('a full storage, a refused access and a missing object are not tried again', async () => {
  for (const code of ['storage_full', 'storage_denied'] as const) {
    const { store, faulty } = retried({ 1: { kind: 'fail', code } });
    await assert.rejects(store.put('a', { buffers: [] }), (error) => hasCode(error, code));
    assert.equal(faulty.calls.length, 1);
  }
  const { store, faulty } = retried({});
  await assert.rejects(store.get('a'), (error) => hasCode(error, 'object_not_found'));
  assert.equal(faulty.calls.length, 1);
});

test('attempts are bounded, and the last error is what the caller gets', async () => {
  const { store, faulty } = retried({ 1: unreachable, 2: unreachable, 3: unreachable }, { maxAttempts: 3 });
  await assert.rejects(store.get('a'), (error) => hasCode(error, 'storage_unreachable'));
  assert.equal(faulty.calls.length, 3);
});

test('waits double up to their bound, with full jitter', async () => {
  const faults = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [index + 1, unreachable]));
  const { store, events } = retried(faults, { random: () => 0.5, firstWaitMs: 100, maxWaitMs: 500 });
  await store.delete('a');
  assert.deepEqual(
    events.map(({ waitMs }) => waitMs),
    [50, 100, 200, 250, 250],
  );
});

test('an abort ends the wait', async () => {
  const controller = new AbortController();
  const memory = new MemoryStore();
  const faulty = faultyStore({ store: memory, script: () => unreachable });
  const store = withRetry({ store: faulty, random: () => 1, onRetry: () => controller.abort(new Error('stop')) });
  await assert.rejects(store.get('a', { signal: controller.signal }), { message: 'stop' });
  assert.equal(faulty.calls.length, 1);
});

test('a create-only put whose acknowledgement was lost recognises its own object', async () => {
  const { store, memory } = retried({ 1: { kind: 'lost_ack' } });
  const buffers = [Buffer.from('own '), Buffer.alloc(0), Buffer.from('content')];
  await store.put('a', { buffers }, { ifAbsent: true });
  assert.equal((await memory.get('a')).toString(), 'own content');
});

test('so does one whose body is a stream', async () => {
  const { store } = retried({ 1: { kind: 'lost_ack' } });
  const content = Buffer.alloc(20 * 1024 * 1024, 'stream');
  const open = async function* () {
    for (let at = 0; at < content.length; at += 700_001) yield content.subarray(at, at + 700_001);
  };
  await store.put('a', { sizeBytes: content.length, open }, { ifAbsent: true });
});

test('an object that was there before is never taken for the own one, though its content is the same', async () => {
  const { store, memory } = retried({});
  await memory.put('a', { buffers: [Buffer.from('same')] });
  const put = store.put('a', { buffers: [Buffer.from('same')] }, { ifAbsent: true });
  await assert.rejects(put, (error) => hasCode(error, 'object_exists'));
});

test('another object found after a lost attempt is object_exists, whether its size differs or only its bytes', async () => {
  for (const content of ['other', 'longer other']) {
    const { store, memory } = retried({ 1: unreachable });
    await memory.put('a', { buffers: [Buffer.from(content)] });
    const put = store.put('a', { buffers: [Buffer.from('mine!')] }, { ifAbsent: true });
    await assert.rejects(put, (error) => hasCode(error, 'object_exists'));
  }
});

test('a listing that breaks off goes on where it was, giving each key once', async () => {
  const memory = new MemoryStore();
  for (let index = 0; index < 20; index += 1) await memory.put(`k${index + 10}`, { buffers: [] });
  let listings = 0;
  const breaking = Object.assign(memory.clone(), {
    list: async function* (prefix: string) {
      listings += 1;
      let given = 0;
      for await (const info of memory.list(prefix)) {
        if (given === listings * 3) throw new HoldfastError('storage_unreachable', 'broke off');
        given += 1;
        yield info;
      }
    },
  });
  const store = withRetry({ store: breaking, maxAttempts: 2, sleep: async () => {} });
  const keys = (await Array.fromAsync(store.list('k'))).map(({ key }) => key);
  assert.deepEqual(keys, [...memory.objects().keys()]);
  assert.equal(listings, 7);
});

test('what the consumer of a listing throws is not tried again', async () => {
  const { store, memory, faulty } = retried({});
  await memory.put('a', { buffers: [] });
  const consume = async (): Promise<void> => {
    for await (const _ of store.list('')) throw new HoldfastError('storage_unreachable', 'of the consumer');
  };
  await assert.rejects(consume(), { message: 'of the consumer' });
  assert.equal(faulty.calls.length, 1);
});

test('over a storage that fails often, create-only puts end with each object there once, whole', async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const memory = new MemoryStore();
    const faulty = faultyStore({ store: memory, script: randomFaults({ seed, rate: 0.3 }) });
    const store = withRetry({ store: faulty, maxAttempts: 30, sleep: async () => {} });
    for (let index = 0; index < 20; index += 1) {
      await store.put(`k${index}`, { buffers: [Buffer.from(`content ${index}`)] }, { ifAbsent: true });
    }
    for (let index = 0; index < 20; index += 1) {
      assert.equal((await memory.get(`k${index}`)).toString(), `content ${index}`);
    }
  }
});
