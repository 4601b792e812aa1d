import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { checkSnapshotName, findSnapshot, refuseTakenName } from './snapshot-name.ts';

test('a name is text of up to 255 bytes that is no number', () => {
  for (const name of ['s', 'before upgrade', '2026-11-21', 'ä'.repeat(127), '-x'])
    assert.equal(checkSnapshotName(name), name);
  for (const name of ['', ' ', ' x', 'x ', '12', 'a\nb', 'a\u0000', 'a\u202eb', 'ä'.repeat(128)]) {
    assert.throws(
      () => checkSnapshotName(name),
      (error) => hasCode(error, 'snapshot_name_invalid'),
      JSON.stringify(name),
    );
  }
});

test('a snapshot is found by name before id, and not at all among several of its name', () => {
  const snapshots = [
    { id: '1', name: '2' },
    { id: '2', name: 'b' },
    { id: '3', name: 'twice' },
    { id: '4', name: 'twice' },
  ];
  assert.equal(findSnapshot(snapshots, '2', 'x').id, '1');
  assert.equal(findSnapshot(snapshots, '1', 'x').id, '1');
  assert.equal(findSnapshot(snapshots, 'b', 'x').id, '2');
  for (const [wanted, code] of [
    ['twice', 'snapshot_ambiguous'],
    ['4', 'snapshot_ambiguous'],
    ['none', 'snapshot_not_found'],
    ['', 'snapshot_not_found'],
  ] as const) {
    assert.throws(
      () => findSnapshot(snapshots, wanted, 'x'),
      (error) => hasCode(error, code),
    );
  }
});

test('a name that is taken is refused', () => {
  refuseTakenName([{ id: '1', name: 'a' }], '1', 'x');
  assert.throws(
    () => refuseTakenName([{ id: '1', name: 'a' }], 'a', 'x'),
    (error) => hasCode(error, 'snapshot_exists'),
  );
});
