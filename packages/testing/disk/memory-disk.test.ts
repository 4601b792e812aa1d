import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TiB } from '@holdfast/base';
import fc from 'fast-check';
import { applyChange, type DiskChange, noise } from './disk-change.ts';
import { diskBlockBytes, MemoryDisk } from './memory-disk.ts';

const sizeBytes = 5 * diskBlockBytes + 123;
const place = fc.record({ offset: fc.nat(sizeBytes - 1), length: fc.nat(2 * diskBlockBytes) });
const change: fc.Arbitrary<DiskChange> = fc.oneof(
  place.map((extent) => ({ ...extent, kind: 'noise' as const, seed: extent.offset })),
  place.map((extent) => ({ ...extent, kind: 'hole' as const })),
  place.map((extent) => ({ ...extent, kind: 'zeros' as const })),
  place.map((extent) => ({ ...extent, kind: 'flip' as const, length: 1 })),
);

/** The same changes on a plain buffer. */
function applyPlainly(plain: Buffer, change: DiskChange): void {
  const end = Math.min(plain.length, change.offset + change.length);
  if (change.kind === 'noise') noise({ seed: change.seed, length: end - change.offset }).copy(plain, change.offset);
  else if (change.kind === 'flip') plain[change.offset]! ^= 1 << (change.offset & 7);
  else plain.fill(0, change.offset, end);
}

test('a disk reads what a plain buffer would hold, and its holes are zeros', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), (changes) => {
      const disk = new MemoryDisk(sizeBytes);
      const plain = Buffer.alloc(sizeBytes);
      for (const one of changes) {
        applyChange(disk, one);
        applyPlainly(plain, one);
      }
      const read = Buffer.alloc(sizeBytes, 1);
      disk.read(read, 0);
      assert.ok(read.equals(plain));
      let at = 0;
      for (const { offset, length, zero } of disk.extents({ offset: 0, length: sizeBytes })) {
        assert.equal(offset, at);
        assert.ok(length > 0);
        if (zero) assert.ok(plain.subarray(offset, offset + length).every((byte) => byte === 0));
        at += length;
      }
      assert.equal(at, sizeBytes);
    }),
  );
});

test('a clone is a snapshot', () => {
  const disk = new MemoryDisk(sizeBytes);
  applyChange(disk, { kind: 'noise', offset: 10, length: 100, seed: 1 });
  const snapshot = disk.clone();
  applyChange(disk, { kind: 'flip', offset: 50, length: 1 });
  assert.equal(disk.differsFrom(snapshot), 50);
  applyChange(disk, { kind: 'flip', offset: 50, length: 1 });
  assert.equal(disk.differsFrom(snapshot), undefined);
  assert.equal(disk.sha256(), snapshot.sha256());
});

test('what a disk loses by shrinking is zero when it grows again', () => {
  const disk = new MemoryDisk(sizeBytes);
  applyChange(disk, { kind: 'noise', offset: 0, length: sizeBytes, seed: 1 });
  disk.resize(100);
  disk.resize(sizeBytes);
  const read = Buffer.alloc(sizeBytes - 100, 1);
  disk.read(read, 100);
  assert.ok(read.every((byte) => byte === 0));
});

test('terabytes of holes cost nothing', () => {
  const disk = new MemoryDisk(5 * TiB);
  disk.write(Buffer.from('end'), 5 * TiB - 3);
  assert.deepEqual(
    [...disk.extents({ offset: 0, length: 5 * TiB })].map(({ zero }) => zero),
    [true, false],
  );
  disk.zero({ offset: 0, length: 5 * TiB });
  assert.equal([...disk.extents({ offset: 0, length: 5 * TiB })].length, 1);
});
