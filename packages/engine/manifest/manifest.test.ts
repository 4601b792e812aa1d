import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { emptyTableRoot } from '../map/pack-table.ts';
import { bytes, flips, location, record, reference, testKeys } from '../wire-fixture.ts';
import { consistencies, decodeManifest, encodeManifest, type Manifest } from './manifest.ts';

const hex = (prefix: string) => bytes(16).map((id) => `${prefix}_${id.toString('hex')}`);
const count = fc.nat();
const moment = fc
  .date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true })
  .map((date) => date.toISOString());
const frame = record({ id: bytes(32), location });

const disk = record({
  name: fc.string(),
  size_bytes: fc.maxSafeNat(),
  chunk_bytes: count,
  actual: fc.constantFrom('full', 'incremental'),
  fallback_reason: fc.option(fc.string()),
  bitmap: fc.option(fc.string()),
  counters: record({
    read_bytes: count,
    zero_chunks: count,
    unchanged_chunks: count,
    deduplicated_chunks: count,
    new_chunks: count,
    new_bytes: fc.maxSafeNat(),
  }),
});

const manifest = record({
  id: hex('bkp'),
  session: hex('ses'),
  domain: fc.constant('default'),
  resource: fc.string(),
  created_at: moment,
  key_epoch: fc.integer({ min: 1, max: 9 }),
  lock_until: fc.option(moment),
  roots: fc.array(frame, { maxLength: 3 }),
  guest_configuration: fc.option(frame),
  series: fc.option(hex('ser')),
  increment_id: fc.option(fc.integer({ min: 1, max: 1000 })),
  parent: fc.option(hex('bkp')),
  origin: fc.constantFrom('manual', 'policy', 'import'),
  requested: fc.constantFrom('full', 'incremental'),
  actual: fc.constantFrom('full', 'incremental'),
  consistency: fc.constantFrom(...consistencies),
  zone: fc.string(),
  host: fc.string(),
  label: fc.option(fc.string({ unit: 'grapheme' })),
  keep_reasons: fc.array(fc.string(), { maxLength: 3 }),
  put_bytes: fc.maxSafeNat(),
  duration_ms: count,
  disks: fc.array(disk, { maxLength: 3 }),
  table: fc.oneof(
    fc.constant(emptyTableRoot),
    record({
      partitionBits: fc.constant(2),
      packCount: count,
      pages: fc.array(reference, { minLength: 4, maxLength: 4 }),
    }),
  ),
}) as fc.Arbitrary<Manifest>;

const isDamaged = (error: unknown) => hasCode(error, 'repository_damaged');

for (const encrypted of [false, true]) {
  const keys = testKeys({ encrypted });
  const what = encrypted ? 'encrypted' : 'not encrypted';

  test(`a manifest is read back as it was written (${what})`, () => {
    fc.assert(
      fc.property(manifest, (written) => {
        assert.deepEqual(decodeManifest('m', encodeManifest(written, keys), keys), written);
      }),
    );
  });

  test(`a flipped bit anywhere in a manifest, and every truncation, is noticed (${what})`, () => {
    fc.assert(
      fc.property(manifest, (written) => {
        const whole = encodeManifest(written, keys);
        for (const { flipped } of flips(whole)) assert.throws(() => decodeManifest('m', flipped, keys), isDamaged);
        for (let length = 0; length < whole.length; length += 1) {
          assert.throws(() => decodeManifest('m', whole.subarray(0, length), keys), isDamaged);
        }
        assert.throws(() => decodeManifest('m', Buffer.concat([whole, Buffer.alloc(1)]), keys), isDamaged);
      }),
      { numRuns: 4 },
    );
  });

  test(`a manifest that another key wrote is not believed (${what})`, () => {
    fc.assert(
      fc.property(manifest, (written) => {
        const foreign = encodeManifest(written, testKeys({ encrypted, secret: 2 }));
        assert.throws(() => decodeManifest('m', foreign, keys), isDamaged);
      }),
      { numRuns: 10 },
    );
  });
}

test('an encrypted manifest hides what only the owner may know', () => {
  const [sample] = fc.sample(manifest, { numRuns: 1, seed: 1 });
  const written = { ...sample!, label: 'a telling label', host: 'a-telling-host' };
  const sealed = encodeManifest(written, testKeys({ encrypted: true }));
  assert.ok(!sealed.includes('telling'));
  assert.ok(encodeManifest(written, testKeys({ encrypted: false })).includes('telling'));
});
