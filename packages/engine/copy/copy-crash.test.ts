import { test } from 'node:test';
import { assertSurvivesCrashes, assertSurvivesFailures } from './copy-crash-fixture.ts';

const story = { volumePoints: 2, patchedPoints: 0 };

for (const when of ['before', 'partial', 'after'] as const) {
  test(`a copy that dies at any call of the target (${when}) leaves whole copies, and the next goes on`, async () => {
    await assertSurvivesCrashes(story, when);
  });
}

for (const side of ['source', 'target'] as const) {
  test(`a ${side} that fails at any call ends the copy with its error, and nothing half is left`, async () => {
    await assertSurvivesFailures(story, side);
  });
}
