import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settleLeftovers } from './leftovers.ts';
import { claimMachine, recordPath } from './machine-claim.ts';
import { isCode, runInGuest, startMachineBed } from './machine-fixture.ts';
import { readWorkRecord } from './work-record.ts';

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

test('whoever dies while it waits has left word of it: the next command calls it with thaw, once the guest is thawed', async () => {
  await installHook('[ "$1" = thaw ] || exec sleep 2');
  const { libvirt, stateDirectory } = bed;
  const path = recordPath(stateDirectory, domain.uuid);
  const backup = bed.backup();
  await inGuest('until grep -q freeze /tmp/calls; do sleep 0.1; done');
  const word = await readWorkRecord(path);
  await backup;
  assert.equal(await readWorkRecord(path), undefined);
  assert.ok(word);
  assert.deepEqual(word.open_hook, { path: '/etc/holdfast/quiesce', timeout_ms: 20_000 });
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw');
  {
    await using claim = await claimMachine({ stateDirectory, uuid: domain.uuid, name: 'web' });
    await claim.record({ ...word, frozen_since: word.started_at });
  }
  await domain.agent.freeze({ timeoutMs: 10_000 });
  const told = await settleLeftovers({ libvirt, stateDirectory });
  assert.match(
    told.join('\n'),
    /it is thawed\.\nThe hook in web may have been waiting; it is told that the backup is over/,
  );
  assert.equal(await inGuest('cat /tmp/calls'), 'freeze\nthaw\nthaw');
  assert.deepEqual(await settleLeftovers({ libvirt, stateDirectory }), []);
});

test('a hook that cannot be told either is not asked again and again', async () => {
  await installHook('[ "$1" = freeze ] || { echo "all gone" >&2; exit 3; }');
  const { libvirt, stateDirectory } = bed;
  const left = {
    uri: libvirt.uri.text,
    uuid: domain.uuid,
    name: 'web',
    pid: 1,
    started_at: '2026-11-01T10:00:00.000Z',
    frozen_since: null,
    open_hook: { path: '/etc/holdfast/quiesce', timeout_ms: 20_000 },
    scratch: null,
  };
  const die = async (): Promise<void> => {
    await using claim = await claimMachine({ stateDirectory, uuid: domain.uuid, name: 'web' });
    await claim.record(left);
  };
  await die();
  const [told] = await settleLeftovers({ libvirt, stateDirectory });
  assert.match(told ?? '', /hook in web was not told that the backup is over: .* thaw ended with 3: all gone/);
  assert.deepEqual(await settleLeftovers({ libvirt, stateDirectory }), []);
  await die();
  await bed.guest.destroy();
  assert.deepEqual(await settleLeftovers({ libvirt, stateDirectory }), [], 'a machine that is off holds nothing');
});
