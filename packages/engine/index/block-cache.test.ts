import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockCache } from './block-cache.ts';

test('what was used least recently goes first, and the budget is never exceeded', () => {
  const cache = new BlockCache({ budgetBytes: 4 * (1000 + 256) });
  for (let key = 0; key < 4; key += 1) cache.put(key, Buffer.alloc(1000, key));
  cache.get(0);
  cache.put(4, Buffer.alloc(1000, 4));
  assert.equal(cache.get(1), undefined);
  assert.equal(cache.get(0)?.[0], 0);
  assert.equal(cache.get(4)?.[0], 4);
  assert.ok(cache.usedBytes <= 4 * 1256);
  cache.put(5, Buffer.alloc(1_000_000));
  assert.equal(cache.get(5), undefined, 'larger than the budget');
});

test('a part of a larger buffer is copied, so that the cache holds no more than it counts', () => {
  const cache = new BlockCache({ budgetBytes: 100_000 });
  cache.put(1, Buffer.alloc(50_000).subarray(10, 1010));
  assert.equal(cache.get(1)?.buffer.byteLength, 1000);
});

test('identical reads in flight are one read; a failed one is tried again by the next call', async () => {
  const cache = new BlockCache({ budgetBytes: 100_000 });
  let reads = 0;
  const failing = async (): Promise<Buffer> => {
    reads += 1;
    await Promise.resolve();
    throw new Error('storage');
  };
  const both = await Promise.allSettled([cache.load(1, failing), cache.load(1, failing)]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.equal(reads, 1);
  const block = await cache.load(1, async () => Buffer.from('here'));
  assert.equal(block?.toString(), 'here');
  assert.equal((await cache.load(1, failing))?.toString(), 'here');
  assert.equal(reads, 1);
});
