/** A point is read over NBD without being restored. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { makeHouse } from './testing/house-fixture.ts';
import { holdfast, startHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, runTool } from './testing/test-disks.ts';

for (const [how, signal] of [
  ['SIGTERM', 'SIGTERM'],
  ['an interrupt', 'SIGINT'],
] as const) {
  test(`a point is served over NBD until ${how}, and nothing of it is left then`, async () => {
    await using made = await makeHouse();
    const { at, storage } = made;
    const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 9 * MiB, dataBytes: 4 * MiB });
    const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
    const words = ['serve', ...storage, String(point), '--disk', 'vda', '--socket', at('socket'), '--json'];
    const serving = startHoldfast(words);
    const { uri } = await serving.object('ready');
    assert.equal(uri, `nbd+unix:///vda?socket=${at('socket')}`);
    await runTool('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, at('b.raw'));
    assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
    await assert.rejects(runTool('qemu-io', '-f', 'raw', '-c', 'write 0 512', uri), 'read-only');
    const sessions = (await holdfast(['repo', 'check', ...storage]))['sessions'] as { role: string }[];
    assert.deepEqual(
      sessions.map(({ role }) => role),
      ['reader'],
    );
    serving.child.kill(signal);
    const run = await serving.ended;
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.objects.at(-1)?.['type'], 'result');
    assert.deepEqual((await holdfast(['repo', 'check', ...storage]))['sessions'], []);
    assert.equal(existsSync(at('socket')), false);
  });
}
