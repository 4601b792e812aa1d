/** `ifAbsent`: the engine's sessions and commits rest on exactly one of several racing puts succeeding. */
import { hasCode } from '@holdfast/base';
import { bodyOf, expect, expectCode, expectContent, randomContent } from '../expectations.ts';
import type { StorageCheck } from '../storage-check.ts';

const racers = 12;

export const createOnlyPutChecks: readonly StorageCheck[] = [
  {
    name: 'create-only-put',
    promise: 'A put with ifAbsent over an existing object fails with object_exists and changes nothing.',
    probes: 'createOnlyPut',
    run: async (store, { key }) => {
      const first = randomContent(1000);
      await store.put(key('once'), bodyOf(first), { ifAbsent: true });
      await expectCode(
        'object_exists',
        store.put(key('once'), bodyOf(randomContent(1000)), { ifAbsent: true }),
        'A second put with ifAbsent',
      );
      await expectContent(store, key('once'), first);
      await store.delete(key('once'));
      await store.put(key('once'), bodyOf(first), { ifAbsent: true });
    },
  },
  {
    name: 'create-only-race',
    promise: `Of ${racers} racing puts with ifAbsent exactly one succeeds, and its content stays.`,
    probes: 'createOnlyPut',
    run: async (store, { key }) => {
      for (let round = 0; round < 4; round += 1) {
        const name = key(`race-${round}`);
        const contents = Array.from({ length: racers }, (_, racer) => randomContent(50_000 + racer));
        const outcomes = await Promise.allSettled(
          contents.map((content) => store.put(name, bodyOf(content), { ifAbsent: true })),
        );
        for (const outcome of outcomes) {
          if (outcome.status === 'rejected' && !hasCode(outcome.reason, 'object_exists')) throw outcome.reason;
        }
        const winners = contents.filter((_, racer) => outcomes[racer]?.status === 'fulfilled');
        const [winner] = winners;
        expect(winner !== undefined && winners.length === 1, `${winners.length} of ${racers} racing puts succeeded.`);
        await expectContent(store, name, winner);
      }
    },
  },
];
