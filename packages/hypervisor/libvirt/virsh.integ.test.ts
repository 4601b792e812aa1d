import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { hasCode } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import { Virsh } from './virsh.ts';

const host = await libvirtHostForTests();
const virsh = new Virsh(host.uri);

test('calls together: each has its own outcome, and one that fails keeps none from being made', async () => {
  const outcomes = await virsh.runTogether([
    { args: ['echo', 'one'], doing: 'first' },
    { args: ['domstate', 'nobody'], doing: 'second' },
    { args: ['define'], documents: ['<domain'], doing: 'third' },
    { args: ['echo', 'four'], doing: 'fourth' },
  ]);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.ok ? outcome.output : outcome.error.code)),
    ['one', 'vm_not_found', 'vm_definition_invalid', 'four'],
  );
  const [, second] = outcomes;
  assert.equal(second?.ok === false && second.error.message, "second: failed to get domain 'nobody'");
  const times = outcomes.map(({ endedMs }) => endedMs);
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
});

test('words arrive as they were given, whatever a shell would make of them', async () => {
  const words = [
    "it's",
    `"quoted"`,
    'a; destroy b',
    '# no comment',
    'back\\slash',
    '$HOME `id`',
    'two\nlines',
    'grüße 🌍',
    '',
  ];
  const outcomes = await virsh.runTogether(words.map((word) => ({ args: ['echo', '--', word], doing: 'say it' })));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && outcome.output),
    words,
  );
});

test("single calls share a connection, and what one of them was told is not the next one's", async () => {
  const say = async (word: string): Promise<string> => await virsh.run({ args: ['echo', '--', word], doing: 'say it' });
  for (const word of ["it's", `"quoted"`, '', 'end-', 'virsh # ', 'a; domstate nobody', '$HOME', '!!', '~']) {
    assert.equal(await say(word), word);
    await assert.rejects(virsh.run({ args: ['domstate', 'nobody'], doing: 'ask' }), (error) =>
      hasCode(error, 'vm_not_found'),
    );
  }
  const words = ['two\nlines', 'a\ttab', 'grüße 🌍', 'x'.repeat(20_000), 'y'.repeat(3_000)];
  assert.deepEqual(await Promise.all(words.map(say)), words);
  const capabilities = { args: ['capabilities'], doing: 'ask' };
  const answers = await Promise.all([1, 2, 3].map(async () => await virsh.run(capabilities)));
  for (const answer of answers) assert.match(answer, /^<capabilities>[^]*<\/capabilities>\n+$/);
});

test('a call that waits keeps no other waiting; an abort and the time limit end it', async () => {
  const wait = { args: ['event', '--event', 'reboot', '--timeout', '600'], doing: 'wait' };
  const stop = new AbortController();
  const waiting = virsh.run({ ...wait, timeoutMs: 600_000, signal: stop.signal });
  assert.equal(await virsh.run({ args: ['echo', 'meanwhile'], doing: 'say' }), 'meanwhile');
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(virsh.run({ ...wait, timeoutMs: 300 }), (error) => hasCode(error, 'libvirt_timeout'));
  assert.equal(await virsh.run({ args: ['echo', 'afterwards'], doing: 'say' }), 'afterwards');
});

test('a libvirtd that was killed and started again between two calls is found again', async () => {
  const list = { args: ['list', '--all', '--name'], doing: 'list' };
  const before = await virsh.run(list);
  await host.killLibvirtd();
  await assert.rejects(virsh.run(list), (error) => hasCode(error, 'libvirt_unreachable'));
  await host.startLibvirtd();
  assert.equal(await virsh.run(list), before);
});

test('a program with an idle connection ends by itself, and the connection with it', async () => {
  const program = `
    const { Virsh } = await import(${JSON.stringify(join(import.meta.dirname, 'virsh.ts'))});
    const { readFile, readdir } = await import('node:fs/promises');
    await new Virsh(${JSON.stringify(host.uri)}).run({ args: ['echo', 'x'], doing: 'say' });
    for (const pid of (await readdir('/proc')).filter(Number)) {
      const [, parent] = /^PPid:\\t(\\d+)/m.exec(await readFile('/proc/' + pid + '/status', 'utf8').catch(() => '')) ?? [];
      if (Number(parent) === process.pid) console.log(pid);
    }`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
    timeout: 20_000,
  });
  const pids = stdout.trim().split('\n');
  assert.equal(pids.length, 1);
  while (existsSync(`/proc/${pids[0]}`)) await sleep(20);
});

test('calls that take too long together end, and say which of them were made', async () => {
  const wait = { args: ['event', '--event', 'reboot', '--timeout', '600'], doing: 'wait', timeoutMs: 400 };
  const say = { args: ['echo', 'x'], doing: 'say', timeoutMs: 400 };
  const [said, waited, never] = await virsh.runTogether([say, { ...wait }, say]);
  assert.ok(said?.ok);
  for (const outcome of [waited, never]) assert.ok(outcome && !outcome.ok && hasCode(outcome.error, 'libvirt_timeout'));
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('enough')), 200);
  await assert.rejects(virsh.runTogether([{ ...wait, timeoutMs: 600_000 }], { signal: stop.signal }), /enough/);
});

test('without libvirtd every call says so', async () => {
  await host.killLibvirtd();
  const outcomes = await virsh.runTogether([
    { args: ['domstate', 'a'], doing: 'first' },
    { args: ['domstate', 'b'], doing: 'second' },
  ]);
  for (const outcome of outcomes) assert.ok(!outcome.ok && hasCode(outcome.error, 'libvirt_unreachable'));
});
