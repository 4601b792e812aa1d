import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withMeter, withRetry, withThrottle } from '@holdfast/storage';
import { faultyStore } from './faulty-store.ts';
import { MemoryStore } from './memory-store.ts';
import { testConformance } from './test-conformance.ts';

testConformance({ title: 'memory', open: async () => new MemoryStore() });
testConformance({ title: 'memory, metered', open: async () => withMeter({ store: new MemoryStore() }) });
testConformance({ title: 'memory, retried', open: async () => withRetry({ store: new MemoryStore() }) });
testConformance({
  title: 'memory, throttled',
  open: async () =>
    withThrottle({ store: new MemoryStore(), requestsPerSecond: 1e6, bytesPerSecond: 1e12, maxConnections: 3 }),
});
testConformance({
  title: 'memory, faulty without faults',
  open: async () => faultyStore({ store: new MemoryStore() }),
});

test('a clone has the same objects and goes its own way', async () => {
  const first = new MemoryStore();
  await first.put('a', { buffers: [Buffer.from('a')] });
  const second = first.clone();
  await second.put('b', { buffers: [Buffer.from('b')] });
  await second.delete('a');
  assert.deepEqual([...first.objects().keys()], ['a']);
  assert.deepEqual([...second.objects().keys()], ['b']);
});

test('content is copied in and out', async () => {
  const store = new MemoryStore();
  const own = Buffer.from('content');
  await store.put('a', { buffers: [own] });
  own.fill(0);
  (await store.get('a')).fill(1);
  assert.equal((await store.get('a')).toString(), 'content');
});
