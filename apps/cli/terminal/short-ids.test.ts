import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shortPointIds } from './short-ids.ts';

const hex = fc.stringMatching(/^[0-9a-f]{32}$/);
/** Ids that share long beginnings, as those of one second do. */
const id = fc
  .tuple(fc.constantFrom('01a1fd7efb03', '01a1fd7efb03778e'), hex)
  .map(([start, rest]) => `bkp_${(start + rest).slice(0, 32)}`);

test('a short id begins exactly one id, and is at least the millisecond of its making', () => {
  fc.assert(
    fc.property(fc.uniqueArray(id, { minLength: 1, maxLength: 20 }), (ids) => {
      for (const [whole, short] of shortPointIds(ids)) {
        assert.deepEqual(
          ids.filter((other) => other.startsWith(short)),
          [whole],
        );
        assert.ok(short.length >= 16);
      }
    }),
  );
});
