/** What people and pipes get to see. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { listPoints, makeHouse } from './testing/house-fixture.ts';
import { program, runHoldfast } from './testing/run-holdfast.ts';
import { makeDisk, runTool } from './testing/test-disks.ts';

test('people get lines: a table of points, the point at the end of a backup, no objects', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 2 * MiB, dataBytes: MiB });
  const backup = await runHoldfast(['backup', ...storage, '--resource', 'volumes/a', '--label', 'Monday', disk]);
  assert.equal(backup.code, 0, backup.stderr);
  const point = /Restore point (bkp_[0-9a-f]{32}) of volumes\/a \(full, number 1 of its series\)\n$/.exec(
    backup.stdout,
  )?.[1];
  assert.ok(point !== undefined, backup.stdout);
  const points = await runHoldfast(['points', ...storage]);
  assert.match(points.stdout, /^POINT +RESOURCE +TAKEN +KIND +SERIES +DISKS +SIZE +STORED +LABEL\n/);
  const short = /^(bkp_\w+) .*volumes\/a .* full .*Monday$/m.exec(points.stdout)?.[1];
  assert.ok(short !== undefined && point.startsWith(short), points.stdout);
  const restored = await runHoldfast(['restore', ...storage, short, '--to', at('b.raw')]);
  assert.match(restored.stdout, /^Restored vda to .*b\.raw: 2\.00 MiB in .*1\.00 MiB written, 1\.00 MiB zero\n$/);
  assert.equal(restored.stderr, '', 'no progress where nobody watches');
});

test('a reader that goes away early is no failure', async () => {
  await using made = await makeHouse();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: MiB, dataBytes: MiB });
  const words = ['backup', ...storage, '--resource', 'volumes/a', '--json', disk].map((word) => `'${word}'`).join(' ');
  const text = await runTool('bash', '-c', `'${program}' ${words} 2>&1 | true; echo "\${PIPESTATUS[0]}"`);
  assert.equal(text, '0\n');
  assert.equal((await listPoints(storage)).length, 1);
});
