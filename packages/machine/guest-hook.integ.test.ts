import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode, runInGuest, startMachineBed } from './machine-fixture.ts';

const bed = await startMachineBed({ writer: 'off' });
await bed.guest.start();
const domain = await bed.libvirt.domain('web');

async function inGuest(script: string): Promise<string> {
  return await runInGuest(domain, script);
}

async function installHook(body: string): Promise<void> {
  const script = `#!/bin/sh\necho "$1" >> /tmp/calls\n${body}\n`;
  const place = 'mkdir -p /etc/holdfast; cat > /etc/holdfast/quiesce; chmod +x /etc/holdfast/quiesce; : > /tmp/calls';
  await runInGuest(domain, place, { input: script });
}

test('the hook is called before and after, and the point is of quiet applications', async () => {
  await installHook('exit 0');
  const { point, warnings } = await bed.backup({ consistency: 'require' });
  assert.deepEqual([point.manifest.consistency, warnings], ['application', []]);
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw');
});

test('a hook that fails: a frozen point with a warning, or none; it is called again in any case', async () => {
  await installHook('[ "$1" = thaw ] || { echo "no disk for it" >&2; exit 7; }');
  const { point, warnings } = await bed.backup();
  assert.equal(point.manifest.consistency, 'filesystem');
  assert.match(warnings.join(), /quiesce freeze ended with 7: no disk for it/);
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw');
  await assert.rejects(bed.backup({ consistency: 'require' }), isCode('guest_hook_failed'));
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw\nfreeze\nthaw');
});

test('a hook that takes too long is ended', async () => {
  await installHook('[ "$1" = thaw ] || exec sleep 1000');
  const hook = { path: '/etc/holdfast/quiesce', timeoutMs: 500 };
  const { point, warnings } = await bed.backup({ hook });
  assert.equal(point.manifest.consistency, 'filesystem');
  assert.match(warnings.join(), /\/etc\/holdfast\/quiesce freeze did not end within 0.5 s/);
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw');
});

test('interrupted while it works: it is called again all the same', async () => {
  await installHook('[ "$1" = thaw ] || exec sleep 1000');
  const stop = new AbortController();
  const backup = assert.rejects(bed.backup({ signal: stop.signal }), /enough/);
  await inGuest('until grep -q freeze /tmp/calls; do sleep 0.1; done');
  stop.abort(new Error('enough'));
  await backup;
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw');
});

test('when it cannot say that all is over, the point is good all the same', async () => {
  await installHook('[ "$1" = freeze ]');
  const { point, warnings } = await bed.backup();
  assert.equal(point.manifest.consistency, 'application');
  assert.match(warnings.join(), /was not told that the point is made/);
});

test('never: nobody in the guest is disturbed', async () => {
  await installHook('exit 0');
  const { point } = await bed.backup({ consistency: 'never' });
  assert.equal(point.manifest.consistency, 'crash');
  assert.equal(await inGuest('cat /tmp/calls'), '');
});
