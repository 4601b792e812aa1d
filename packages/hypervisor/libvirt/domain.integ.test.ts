import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import { Libvirt } from './libvirt.ts';

const host = await libvirtHostForTests();
const libvirt = new Libvirt({ uri: host.uri });
const guest = await host.makeGuest({ name: 'web 1', writer: 'off' });
await host.makeGuest({ name: '1', writer: 'off', agent: false });
const domain = await libvirt.domain('web 1');

test('machines are found by name and by UUID; a name of digits is no id', async () => {
  assert.deepEqual(
    (await libvirt.domainNames()).map(({ name }) => name),
    ['1', 'web 1'],
  );
  assert.equal((await libvirt.domain(domain.uuid.toUpperCase())).name, 'web 1');
  assert.equal((await libvirt.domain('1')).name, '1');
  await assert.rejects(libvirt.domain('2'), (error) => hasCode(error, 'vm_not_found') && error.message.includes('"2"'));
});

test('a machine that is off refuses what only a running one can do', async () => {
  assert.deepEqual((await domain.status()).state, 'shut_off');
  for (const call of [
    () => domain.pause(),
    () => domain.resume(),
    () => domain.shutdown(),
    () => domain.destroy(),
    () => domain.monitor({ command: 'query-status' }),
    () => domain.agent.ping(),
  ]) {
    await assert.rejects(call(), (error) => hasCode(error, 'vm_state_invalid'));
  }
});

test('it starts paused, goes on, and is frozen and thawed by its agent', async () => {
  await domain.start({ paused: true });
  assert.equal((await domain.status()).state, 'paused');
  await assert.rejects(domain.start(), (error) => hasCode(error, 'vm_state_invalid'));
  await domain.resume();
  assert.equal((await domain.status()).state, 'running');
  await assert.rejects(domain.agent.ping(), (error) => hasCode(error, 'guest_agent_missing'));
  await guest.waitForAgent();
  await domain.agent.ping();
  assert.equal((await domain.agent.system()).id, 'tinyguest');

  assert.equal(await domain.agent.freezeState(), 'thawed');
  assert.equal(await domain.agent.freeze({ timeoutMs: 5000 }), 1);
  assert.equal(await domain.agent.freezeState(), 'frozen');
  await assert.rejects(domain.agent.freeze(), (error) => hasCode(error, 'guest_command_failed'));
  assert.equal(await domain.agent.thaw(), 1);
  assert.equal(await domain.agent.thaw(), 0);

  const status = await domain.monitor({ command: 'query-status' });
  assert.equal((status as { status: string }).status, 'running');
  await assert.rejects(domain.monitor({ command: 'no-such' }), (error) => hasCode(error, 'qemu_failed'));
  assert.equal(await domain.hasJob(), false);

  await domain.pause();
  await assert.rejects(domain.undefine(), (error) => hasCode(error, 'vm_state_invalid'));
  await domain.resume();
});

test('programs run in the guest: input, output, errors, exit code, and limits of time and output', async () => {
  const sh = (script: string, more: { timeoutMs?: number; outputLimitBytes?: number; input?: string } = {}) =>
    domain.agent.run({ program: '/bin/sh', args: ['-c', script], timeoutMs: 60_000, ...more });
  assert.deepEqual(await sh('read word; echo "got $word"; echo oops >&2; exit 3', { input: 'it\n' }), {
    exitCode: 3,
    signal: undefined,
    output: 'got it\n',
    errors: 'oops\n',
    isCut: false,
  });
  const long = await sh('i=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done', { outputLimitBytes: 100 });
  assert.deepEqual([long.output.length, long.isCut, long.exitCode], [100, true, 0]);
  assert.equal((await sh('kill -9 $$')).signal, 9);
  await assert.rejects(sh('echo $$ > /tmp/pid; exec sleep 1000', { timeoutMs: 300 }), (error) =>
    hasCode(error, 'guest_command_timeout'),
  );
  assert.notEqual((await sh('sleep 0.2; kill -0 $(cat /tmp/pid)')).exitCode, 0);
  await assert.rejects(domain.agent.run({ program: '/no/such', timeoutMs: 1000 }), (error) =>
    hasCode(error, 'guest_command_failed'),
  );
});

test('an agent that hangs is told from one that is not there, and thaws when it wakes', async () => {
  // The shell outlives the answer, so that the agent can give it before it is stopped.
  const script =
    '(sleep 0.3; kill -STOP $(pidof qemu-ga); sleep 7; kill -CONT $(pidof qemu-ga)) >/dev/null 2>&1 </dev/null &';
  await domain.agent.run({ program: '/bin/sh', args: ['-c', script], timeoutMs: 60_000 });
  const silent = async (): Promise<boolean> => {
    const answer = await domain.agent.ping({ timeoutMs: 1000 }).catch((error: unknown) => error);
    return hasCode(answer, 'guest_agent_unresponsive');
  };
  while (!(await silent()));
  await assert.rejects(domain.agent.freeze({ timeoutMs: 1000 }), (error) => hasCode(error, 'guest_agent_unresponsive'));
  await guest.waitForAgent();
  while ((await domain.agent.freezeState()) === 'frozen') await domain.agent.thaw();
  assert.equal(await domain.agent.freezeState(), 'thawed');

  const deaf = await libvirt.domain('1');
  await deaf.start();
  await assert.rejects(deaf.agent.ping(), (error) => hasCode(error, 'guest_agent_missing'));
});

test('a call ends with its time limit or its signal, and a wait with its own', async () => {
  const late = { states: ['crashed'], timeoutMs: 300 } as const;
  await assert.rejects(
    domain.waitFor(late),
    (error) => hasCode(error, 'libvirt_timeout') && /running/.test(error.message),
  );
  const stop = new AbortController();
  const reason = new Error('enough');
  setTimeout(() => stop.abort(reason), 100);
  await assert.rejects(domain.waitFor({ ...late, timeoutMs: 60_000, signal: stop.signal }), reason);
  await assert.rejects(domain.status({ signal: stop.signal }), reason);
});

test('without its libvirtd a machine is out of reach, not lost; it shuts down when asked, and can be removed', async () => {
  await host.killLibvirtd();
  await assert.rejects(domain.status(), (error) => hasCode(error, 'libvirt_unreachable'));
  await host.startLibvirtd();
  assert.equal((await domain.status()).state, 'running');
  await guest.waitForAgent();
  await domain.shutdown({ by: 'agent' });
  assert.equal((await domain.waitFor({ states: ['shut_off'], timeoutMs: 120_000 })).reason, 'shutdown');
  await domain.undefine();
  await assert.rejects(domain.status(), (error) => hasCode(error, 'vm_not_found'));
});

test('a remote connection gives no machine to work on', async () => {
  await assert.rejects(new Libvirt({ uri: 'qemu+ssh://kvm2/system' }).domain('web'), (error) =>
    hasCode(error, 'libvirt_remote'),
  );
});
