import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultsAt, faultyStore, MemoryStore } from '@holdfast/testing';
import { withMeter } from './meter.ts';

test('calls, errors and bytes are counted per verb', async () => {
  const store = withMeter({ store: new MemoryStore() });
  await store.put('a', { buffers: [Buffer.alloc(700), Buffer.alloc(300)] });
  await store.put('b', {
    sizeBytes: 5,
    open: async function* () {
      yield Buffer.alloc(5);
    },
  });
  await assert.rejects(store.put('a', { buffers: [Buffer.alloc(9)] }, { ifAbsent: true }));
  await store.get('a', { range: { offset: 900, length: 500 } });
  await assert.rejects(store.get('c'));
  await store.head('a');
  await Array.fromAsync(store.list(''));
  await store.delete('a');
  assert.deepEqual(store.snapshot(), {
    byVerb: {
      put: { calls: 3, errors: 1 },
      get: { calls: 2, errors: 1 },
      list: { calls: 1, errors: 0 },
      delete: { calls: 1, errors: 0 },
      head: { calls: 1, errors: 0 },
    },
    calls: 8,
    bytesPut: 1005,
    bytesGot: 100,
  });
});

test('a snapshot does not change afterwards', async () => {
  const store = withMeter({ store: new MemoryStore() });
  const before = store.snapshot();
  await store.head('a');
  assert.equal(before.calls, 0);
  assert.equal(store.snapshot().calls, 1);
});

test('a failing listing is one call and one error', async () => {
  const script = faultsAt({ 1: { kind: 'fail', code: 'storage_denied' } });
  const store = withMeter({ store: faultyStore({ store: new MemoryStore(), script }) });
  await assert.rejects(Array.fromAsync(store.list('')));
  assert.deepEqual(store.snapshot().byVerb.list, { calls: 1, errors: 1 });
});
