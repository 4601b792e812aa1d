/** The care model for two minutes, from a seed that each run chooses anew; the failure says which. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailedHistory } from './history-fixture.ts';
import { describeFailure, runSeeds } from './soak-fixture.ts';

const minutes = 2;

test('two minutes of random histories', async (context) => {
  const firstSeed = Math.floor(Date.now() / 1000);
  const untilMs = performance.now() + minutes * 60_000;
  const goOn = () => performance.now() < untilMs;
  const tally = await runSeeds({ firstSeed, goOn }).catch((error: unknown) => {
    assert.fail(error instanceof FailedHistory ? describeFailure(error) : String(error));
  });
  context.diagnostic(`${tally.operations} operations from seed ${firstSeed} on`);
});
