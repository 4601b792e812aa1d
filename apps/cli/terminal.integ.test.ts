/** What needs a terminal, on a real one (a pseudo terminal made by script(1)), and completion in a real bash. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { holdfast, program, runHoldfast } from './testing/run-holdfast.ts';
import { makeDisk, runTool } from './testing/test-disks.ts';

/** Runs the command on a terminal of its own and types each answer when its question is there. */
async function onTerminal(
  words: readonly string[],
  answers: readonly (readonly [question: string, answer: string])[] = [],
): Promise<{ readonly code: number; readonly shown: string }> {
  const command = [program, ...words].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  let shown = '';
  let from = 0;
  let next = 0;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    const [question, answer] = answers[next] ?? [];
    if (question === undefined || !shown.includes(question, from)) return;
    from = shown.length;
    next += 1;
    // Raw mode is on right after the question.
    setTimeout(() => child.stdin.write(`${answer}`), 100);
  });
  const [code] = await ended;
  return { code: Number(code), shown };
}

test('a passphrase is asked for without showing it, twice when it is new', async () => {
  await using directory = await temporaryDirectory();
  const storage = ['--storage', `file://${join(directory.path, 'r')}`];
  const made = await onTerminal(
    ['repo', 'init', ...storage, '--encrypt'],
    [
      ['New passphrase: ', 'geheiX\u007fm\r'],
      ['The same again: ', 'geheim\r'],
    ],
  );
  assert.equal(made.code, 0, made.shown);
  assert.match(made.shown, /Created repository .*, encrypted/);
  assert.doesNotMatch(made.shown, /gehei/);
  const opened = await onTerminal(['points', ...storage], [['Passphrase: ', 'geheim\r']]);
  assert.match(opened.shown, /No restore points/);
  assert.equal((await runHoldfast(['points', ...storage], { HOLDFAST_PASSPHRASE: 'geheim' })).code, 0);
  const wrong = await onTerminal(['points', ...storage], [['Passphrase: ', 'falsch\r']]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.shown, /code: key_wrong/);
  const left = await onTerminal(['points', ...storage], [['Passphrase: ', '\u0003']]);
  assert.equal(left.code, 130);
});

test('two passphrases that differ make no repository', async () => {
  await using directory = await temporaryDirectory();
  const storage = ['--storage', `file://${join(directory.path, 'r')}`];
  const refused = await onTerminal(
    ['repo', 'init', ...storage, '--encrypt'],
    [
      ['New passphrase: ', 'one\r'],
      ['The same again: ', 'two\r'],
    ],
  );
  assert.equal(refused.code, 2);
  assert.match(refused.shown, /not the same/);
});

test('a backup shows a line of progress with percent, rate and time left, and keeps the last', async () => {
  await using directory = await temporaryDirectory();
  const storage = ['--storage', `file://${join(directory.path, 'r')}`];
  await holdfast(['repo', 'init', ...storage]);
  const disk = await makeDisk({ path: join(directory.path, 'a.raw'), sizeBytes: 224 * MiB, dataBytes: 224 * MiB });
  const words = ['backup', ...storage, '--resource', 'volumes/a', '--limit-rate', '48M', disk];
  const { code, shown } = await onTerminal(words);
  assert.equal(code, 0, shown);
  assert.match(shown, /backup +\d+\.\d % {2}[\d.]+ \w+ of 224\.00 MiB {2}[\d.]+ MiB\/s {2}[\d.]+ m?s left/);
  assert.match(shown, /backup +100\.0 % {2}224\.00 MiB in [\d.]+ s {2}[\d.]+ MiB\/s\r\n/);
  assert.match(shown, /Restore point bkp_/);
});

async function complete(script: string, ...words: readonly string[]): Promise<readonly string[]> {
  const list = words.map((word) => `'${word}'`).join(' ');
  const text = await runTool(
    'bash',
    '-c',
    `source '${script}'; compopt() { :; }; COMP_WORDS=(holdfast ${list}); COMP_CWORD=${words.length}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`,
  );
  return text.split('\n').filter((word) => word !== '');
}

test('bash completes commands, options, choices and files', async () => {
  await using directory = await temporaryDirectory();
  const script = join(directory.path, 'completion.bash');
  const { stdout } = await runHoldfast(['completion', 'bash']);
  await writeFile(script, stdout);
  assert.deepEqual(await complete(script, 're'), ['repo', 'restore']);
  assert.deepEqual((await complete(script, 'repo', '')).toSorted(), ['adopt', 'check', 'init']);
  assert.deepEqual(await complete(script, 'repo', 'init', '--enc'), ['--encrypt']);
  assert.deepEqual(await complete(script, 'volume', ''), ['snapshot']);
  assert.deepEqual(await complete(script, 'volume', 'snapshot', 'cr'), ['create']);
  assert.deepEqual(await complete(script, 'volume', 'snapshot', 'clone', 'x', '--format', ''), ['raw', 'qcow2']);
  assert.deepEqual(await complete(script, 'repo', 'init', '--hash', ''), ['blake3', 'hmac-sha-256']);
  assert.deepEqual(await complete(script, 'backup', '--format', 'q'), ['qcow2']);
  assert.deepEqual(await complete(script, 'backup', '--storage', ''), []);
  assert.deepEqual(await complete(script, 'backup', join(directory.path, 'comp')), [script]);
  assert.deepEqual(await complete(script, 'restore', '--to-dir', directory.path.slice(0, -1)), [directory.path]);
  assert.deepEqual(await complete(script, 'completion', 'z'), ['zsh']);
});

for (const shell of ['zsh', 'fish']) {
  test(`the script for ${shell} names every option, in quotes that close`, async (t) => {
    const { stdout } = await runHoldfast(['completion', shell]);
    assert.match(stdout, /to-dir/);
    assert.match(stdout, /passphrase-file/);
    const found = await runTool('bash', '-c', `command -v ${shell} || true`);
    if (found === '') return t.skip(`${shell} is not installed, so nothing can parse the script`);
    await using directory = await temporaryDirectory();
    const script = join(directory.path, 'script');
    await writeFile(script, stdout);
    await runTool(shell, '-n', script);
  });
}

test('the version comes without loading anything, also for scripts', async () => {
  const { stdout } = await runHoldfast(['--version']);
  assert.match(stdout, /^holdfast \d+\.\d+\.\d+\n$/);
  const { objects } = await runHoldfast(['--version', '--json']);
  assert.deepEqual(Object.keys(objects.at(-1) ?? {}), ['type', 'version']);
});
