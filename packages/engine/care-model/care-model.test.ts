/** The care model for some seconds: every run does the same histories. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailedHistory, runHistory } from './history-fixture.ts';
import { describeFailure, runSeeds } from './soak-fixture.ts';

test('in random histories of writers, keepers and users on a storage that fails, nothing that was promised is lost', async () => {
  const tally = await runSeeds({ firstSeed: 1, goOn: ({ histories }) => histories < 8 }).catch((error: unknown) => {
    assert.fail(error instanceof FailedHistory ? describeFailure(error) : String(error));
  });
  for (const kind of ['backup', 'collect', 'kill', 'undelete', 'compact', 'restore']) {
    assert.ok((tally.byKind[kind] ?? 0) > 0, `no ${kind}`);
  }
  for (const fault of ['lost_ack', 'late_put', 'storage_unreachable']) {
    assert.ok((tally.faults[fault] ?? 0) > 0, `no ${fault}`);
  }
});

test('a seed makes the same history again', async () => {
  const twice = [];
  for (let run = 0; run < 2; run += 1) twice.push(await runHistory({ seed: 3, operations: 80 }));
  assert.deepEqual(twice[0], twice[1]);
});
