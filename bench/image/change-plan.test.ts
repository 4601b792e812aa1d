import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GiB, KiB, MiB } from '@holdfast/base';
import { changePatterns, planChanges } from './change-plan.ts';
import { totalBytes } from './extents.ts';
import { recipe } from './recipe.ts';

const data = Array.from({ length: 4 }, (_, index) => ({ offset: index * 1.5 * GiB, length: 680 * MiB }));

for (const pattern of changePatterns) {
  const writes = planChanges({ recipe, pattern, data });

  test(`${pattern}: 1 % of the image, on the 64 KiB grid, no byte twice`, () => {
    assert.equal(totalBytes(writes), 983 * 64 * KiB);
    let end = 0;
    for (const { offset, length } of writes) {
      assert.equal(offset % (64 * KiB), 0);
      assert.ok(offset >= end);
      end = offset + length;
    }
    assert.ok(end <= 6 * GiB);
  });

  test(`${pattern}: 70 % begin in data, and half of the content is random in both parts`, () => {
    const inData = writes.filter((write) => write.inData);
    assert.equal(inData.length, Math.round(0.7 * writes.length));
    for (const part of [inData, writes.filter((write) => !write.inData)]) {
      const random = part.filter((write) => write.content === 'random').length;
      assert.ok(Math.abs(random - part.length / 2) <= 1);
    }
  });

  test(`${pattern}: planned the same way every time`, () => {
    assert.deepEqual(planChanges({ recipe, pattern, data }), writes);
  });
}
