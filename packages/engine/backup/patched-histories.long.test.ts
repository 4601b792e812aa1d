/** As patched-histories.test.ts, over many more histories. */
import { test } from 'node:test';
import { assertPatchedHistories } from './patched-histories-fixture.ts';

test('each of ten points of 200 random histories of small writes restores', async () => {
  await assertPatchedHistories({ numRuns: 200 });
});
