/** A repository is all in its directory: whoever has that has the points. */
import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { makeHouse } from './testing/house-fixture.ts';
import { holdfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk } from './testing/test-disks.ts';

test('a copy of the directory is adopted, verified and restored without anything else', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 8 * MiB, dataBytes: 5 * MiB });
  const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
  await cp(at('repository'), at('copy'), { recursive: true });
  await rm(at('repository'), { recursive: true });
  const copy = ['--storage', `file://${at('copy')}`];
  const adopted = await holdfast(['repo', 'adopt', ...copy]);
  assert.deepEqual(
    (adopted['points'] as { point: string }[]).map((found) => found.point),
    [point],
  );
  assert.equal(adopted['index_entries'], 5);
  for (const scope of [[], ['--presence']]) {
    const verified = await holdfast(['verify', ...copy, ...scope]);
    assert.deepEqual(
      (verified['points'] as { ok: boolean }[]).map(({ ok }) => ok),
      [true],
    );
  }
  assert.equal((await holdfast(['repo', 'check', ...copy]))['points'], 1);
  await holdfast(['restore', ...copy, String(point), '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
  const again = await holdfast(['backup', ...copy, '--resource', 'volumes/other', disk]);
  assert.match(JSON.stringify(again['disks']), /"new_chunks":0/);
});
