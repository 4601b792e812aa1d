import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { entryBytes } from './entry.ts';
import { buildFilter, filterBytes, probeFilter } from './shard-filter.ts';
import { sortedOrder } from './sort-entries.ts';

/** Sorted entries of these ids, which share their first `shardBits`. */
function sortedEntries(ids: readonly Buffer[], shardBits: number): Buffer {
  const entryAt = (ordinal: number) => ({ bytes: ids[ordinal]!, at: 0 });
  const order = sortedOrder({ count: ids.length, shardBits, entryAt });
  const entries = Buffer.alloc(ids.length * entryBytes);
  order.forEach((ordinal, rank) => ids[ordinal]!.copy(entries, rank * entryBytes));
  return entries;
}

test('sorting puts ids in byte order, also those that agree in their first bytes', () => {
  const id = fc
    .tuple(fc.constantFrom(0, 1, 0xffff_fffe, 0xffff_ffff), fc.uint8Array({ minLength: 28, maxLength: 28 }))
    .map(([head, tail]) => Buffer.concat([Buffer.from(Uint32Array.of(head).buffer), tail]));
  fc.assert(
    fc.property(fc.array(id, { maxLength: 60 }), (ids) => {
      const sorted = sortedEntries(ids, 0);
      const wanted = ids.toSorted((left, right) => left.compare(right));
      wanted.forEach((expected, rank) => {
        assert.deepEqual(sorted.subarray(rank * entryBytes, rank * entryBytes + 32), expected);
      });
    }),
  );
});

test('a filter gives every id of its shard a rank at or before its own, never after', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2000 }),
      fc.nat(),
      fc.constantFrom(0, 3, 17),
      fc.boolean(),
      (count, seed, shardBits, crowded) => {
        const ids = Array.from({ length: count }, (_, nth) => {
          const id = createHash('sha256').update(`${seed} ${nth}`).digest();
          // One shard: the same prefix; crowded: nearly all bits that the filter looks at are the same too.
          id.writeUInt32BE((id.readUInt32BE(0) >>> shardBits) >>> 0, 0);
          if (crowded) id.fill(0, 1, 6);
          return id;
        });
        const entries = sortedEntries(ids, shardBits);
        const filter = buildFilter({ entries, count, shardBits });
        assert.equal(filter.length, filterBytes(count));
        for (let rank = 0; rank < count; rank += 1) {
          const id = entries.subarray(rank * entryBytes, rank * entryBytes + 32);
          const found = probeFilter({ filter, count, id, shardBits });
          assert.ok(found >= 0 && found <= rank, `rank ${rank} of ${count}: ${found}`);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('a filter takes 9.25 bits an entry and says maybe to fewer than 1 of 100 strange ids', () => {
  const count = 12_000;
  const ids = Array.from({ length: count }, () => randomBytes(32));
  const filter = buildFilter({ entries: sortedEntries(ids, 0), count, shardBits: 0 });
  assert.ok((filter.length * 8) / count < 9.3, `${(filter.length * 8) / count} bits`);
  let maybes = 0;
  for (let probe = 0; probe < 50_000; probe += 1) {
    if (probeFilter({ filter, count, id: randomBytes(32), shardBits: 0 }) >= 0) maybes += 1;
  }
  assert.ok(maybes < 500, `${maybes} of 50000`);
  assert.ok(maybes > 250, `${maybes} of 50000 is better than the mathematics allow`);
});
