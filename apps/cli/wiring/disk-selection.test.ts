import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { type DiskWords, selectDisks } from './disk-selection.ts';

const select = (words: Partial<DiskWords>) =>
  selectDisks({ source: undefined, disks: [], bitmaps: [], changed: [], ...words });

test('a bare source is disk vda, and takes a bare bitmap or file', () => {
  assert.deepEqual(select({ source: 'a.raw' }), [{ name: 'vda', source: 'a.raw', changes: { kind: 'unknown' } }]);
  assert.deepEqual(select({ source: 'a=b.qcow2', bitmaps: ['daily'] }), [
    { name: 'vda', source: 'a=b.qcow2', changes: { kind: 'bitmap', bitmap: 'daily' } },
  ]);
  assert.deepEqual(select({ source: 'a.raw', changed: ['vda=x.json'] }), [
    { name: 'vda', source: 'a.raw', changes: { kind: 'file', file: 'x.json' } },
  ]);
});

test('several disks keep their order and each its own changes', () => {
  assert.deepEqual(select({ disks: ['vdb=b.raw', 'vda=a.qcow2'], bitmaps: ['vda=daily'], changed: ['vdb=x.json'] }), [
    { name: 'vdb', source: 'b.raw', changes: { kind: 'file', file: 'x.json' } },
    { name: 'vda', source: 'a.qcow2', changes: { kind: 'bitmap', bitmap: 'daily' } },
  ]);
});

for (const [what, words] of [
  ['no source', {}],
  ['a source by itself and with --disk', { source: 'a', disks: ['vda=a'] }],
  ['a --disk without a name', { disks: ['a.raw'] }],
  ['a disk named twice', { disks: ['vda=a', 'vda=b'] }],
  ['a bare bitmap with --disk', { disks: ['vda=a'], bitmaps: ['daily'] }],
  ['a bitmap for a disk that is not there', { source: 'a', bitmaps: ['vdb=daily'] }],
  ['a file for a disk that is not there', { disks: ['vda=a'], changed: ['vdb=x.json'] }],
  ['two bitmaps for one disk', { source: 'a', bitmaps: ['x', 'y'] }],
  ['bitmap and file for one disk', { source: 'a', bitmaps: ['x'], changed: ['y'] }],
] as const) {
  test(`${what} is refused`, () => {
    assert.throws(
      () => select(words),
      (error) => hasCode(error, 'usage'),
    );
  });
}
