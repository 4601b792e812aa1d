import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layOutColumns } from './columns.ts';

test('cells line up under their titles and nothing trails', () => {
  const lines = layOutColumns(
    [{ title: 'NAME' }, { title: 'SIZE', align: 'right' }, { title: 'NOTE' }],
    [
      ['a', '5', ''],
      ['longer', '12345', 'x'],
    ],
  );
  assert.deepEqual(lines, ['NAME     SIZE  NOTE', 'a           5', 'longer  12345  x']);
});
