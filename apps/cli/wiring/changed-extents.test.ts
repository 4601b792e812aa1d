import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import fc from 'fast-check';
import { parseChangedExtents } from './changed-extents.ts';

const diskBytes = 1 << 20;
const parse = (text: string) => parseChangedExtents({ file: 'x.json', text, diskBytes });

test('extents inside the disk come out as they were given', () => {
  const extent = fc
    .nat(diskBytes)
    .chain((offset) =>
      fc.record({ offset: fc.constant(offset), length: fc.nat(diskBytes - offset) }, { noNullPrototype: true }),
    );
  fc.assert(fc.property(fc.array(extent), (extents) => assert.deepEqual(parse(JSON.stringify(extents)), extents)));
});

for (const text of [
  '',
  '{',
  '{}',
  'null',
  '[null]',
  '[[0,1]]',
  '[{"offset":0}]',
  '[{"offset":0,"length":1,"zero":true}]',
  '[{"offset":"0","length":1}]',
  '[{"offset":-1,"length":1}]',
  '[{"offset":0.5,"length":1}]',
  '[{"offset":0,"length":1e300}]',
  `[{"offset":0,"length":${diskBytes + 1}}]`,
  `[{"offset":${diskBytes},"length":1}]`,
  '[{"offset":9007199254740991,"length":9007199254740991}]',
]) {
  test(`${text || 'nothing'} is refused`, () => {
    assert.throws(
      () => parse(text),
      (error) => hasCode(error, 'changed_extents_invalid'),
    );
  });
}
