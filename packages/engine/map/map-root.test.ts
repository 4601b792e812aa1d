import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode, KiB, TiB } from '@holdfast/base';
import fc from 'fast-check';
import { chunksPerPage, geometryOf } from '../chunk/geometry.ts';
import { record, reference } from '../wire-fixture.ts';
import { decodeMapRoot, encodeMapRoot } from './map-root.ts';

test('a map root is read back as it was written, up to disks of 100 TiB', () => {
  const root = record({
    chunkBytes: fc.integer({ min: 0, max: 6 }).map((power) => (64 * KiB) << power),
    pages: fc.array(reference, { maxLength: 20 }),
    short: fc.nat(),
  }).map(({ chunkBytes, pages, short }) => {
    const pageBytes = chunkBytes * chunksPerPage;
    const sizeBytes = pages.length === 0 ? 0 : pages.length * pageBytes - (short % pageBytes);
    return { geometry: geometryOf({ sizeBytes, chunkBytes }), pages };
  });
  fc.assert(fc.property(root, (written) => assert.deepEqual(decodeMapRoot(encodeMapRoot(written)), written)));
  const geometry = geometryOf({ sizeBytes: 100 * TiB + 1, chunkBytes: 4096 * KiB });
  const pages = Array.from({ length: geometry.pageCount }, () => ({ kind: 'zero' }) as const);
  assert.deepEqual(decodeMapRoot(encodeMapRoot({ geometry, pages })).geometry, geometry);
});

test('a root with too few or too many pages, another beginning or a newer version is refused', () => {
  const geometry = geometryOf({ sizeBytes: 300 * 64 * KiB, chunkBytes: 64 * KiB });
  const good = encodeMapRoot({ geometry, pages: [{ kind: 'zero' }, { kind: 'zero' }] });
  for (const count of [0, 1, 3]) {
    const pages = Array.from({ length: count }, () => ({ kind: 'zero' }) as const);
    assert.throws(
      () => decodeMapRoot(encodeMapRoot({ geometry, pages })),
      (error) => hasCode(error, 'repository_damaged'),
    );
  }
  assert.throws(
    () => decodeMapRoot(good.subarray(1)),
    (error) => hasCode(error, 'repository_damaged'),
  );
  const newer = Buffer.from(good);
  newer[4] = 2;
  assert.throws(
    () => decodeMapRoot(newer),
    (error) => hasCode(error, 'repository_newer'),
  );
});

test('any bytes give a root or an error of ours', () => {
  const good = encodeMapRoot({
    geometry: geometryOf({ sizeBytes: 1, chunkBytes: 64 * KiB }),
    pages: [{ kind: 'zero' }],
  });
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, value, length) => {
      const bytes = Buffer.from(good);
      bytes[at] = value;
      try {
        decodeMapRoot(bytes.subarray(0, length));
      } catch (error) {
        assert.ok(error instanceof HoldfastError);
      }
    }),
    { numRuns: 2000 },
  );
});
