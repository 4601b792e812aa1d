import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeChanges } from './object-changes.ts';

test('what a command had done is told in the order of its work', () => {
  const before = new Set(['repo.json', 'sess/ses_old', 'd/default/data/aa/aa01']);
  const after = new Set([
    'repo.json',
    '.tmp/host.1.abc',
    'sess/ses_new',
    'd/default/data/aa/aa01',
    'd/default/data/bb/bb01',
    'd/default/rp/volumes/a/20261121T085500Z-bkp_1',
    'gc/fence/ses_old',
    'gc/fence/ses_old.verdict',
  ]);
  assert.equal(describeChanges(before, after), '+half an object +session -session +data pack +fence +verdict +point');
  assert.equal(describeChanges(after, after), 'nothing');
});
