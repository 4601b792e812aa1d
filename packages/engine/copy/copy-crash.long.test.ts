import { test } from 'node:test';
import { assertSurvivesCrashes, assertSurvivesFailures } from './copy-crash-fixture.ts';

const story = { volumePoints: 3, patchedPoints: 3 };

for (const when of ['before', 'partial', 'after'] as const) {
  test(`a longer copy, with a resized disk and patches, that dies at any call of the target (${when})`, async () => {
    await assertSurvivesCrashes(story, when);
  });
}

for (const side of ['source', 'target'] as const) {
  test(`a longer copy whose ${side} fails at any call`, async () => {
    await assertSurvivesFailures(story, side);
  });
}
