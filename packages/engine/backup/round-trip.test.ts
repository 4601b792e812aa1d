/** Whatever happens to a disk between backups, every point gives back exactly what was there when it was made. */
import { test } from 'node:test';
import { assertHistories } from './round-trip-fixture.ts';

test('every point of a random history restores what its disk was: fresh, in place, by reading', async () => {
  await assertHistories({ numRuns: 60 });
});
