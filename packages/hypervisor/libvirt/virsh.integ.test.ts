import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { type LibvirtHost, startLibvirtHost } from '@holdfast/testing/guests';
import { Virsh } from './virsh.ts';

let host: LibvirtHost;
let virsh: Virsh;

before(async () => {
  host = await startLibvirtHost();
  virsh = new Virsh(host.uri);
});

after(async () => {
  await host[Symbol.asyncDispose]();
});

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
