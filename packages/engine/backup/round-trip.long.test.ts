/** As round-trip.test.ts, over many more histories. */
import { test } from 'node:test';
import { assertHistories } from './round-trip-fixture.ts';

test('every point of each of 1000 random histories restores what its disk was', async () => {
  await assertHistories({ numRuns: 1000 });
});
