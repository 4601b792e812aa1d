/** Chunks that change a little, again and again: every point restores what its disk was. */
import { test } from 'node:test';
import { assertPatchedHistories } from './patched-histories-fixture.ts';

test('each of ten points with random small writes restores: fresh, over garbage, by reading', async () => {
  await assertPatchedHistories({ numRuns: 15 });
});
