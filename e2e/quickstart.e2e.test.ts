/** The quickstart as a newcomer runs it, less the setup, which ran before any test could. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '..');

function start(program: string, args: readonly string[]) {
  const child = spawn(program, [...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const printed = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed.text += text;
    });
  }
  const ended = once(child, 'close').then(([code]) => Number(code));
  return { child, printed, ended };
}

const quickstart = (...args: readonly string[]) => start(process.execPath, ['scripts/quickstart.ts', ...args]);

async function succeeds(program: string, args: readonly string[]): Promise<string> {
  const run = start(program, args);
  assert.equal(await run.ended, 0, run.printed.text);
  return run.printed.text;
}

async function temporaryFolder() {
  const folder = await mkdtemp(join(tmpdir(), 'quickstart-'));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

test('a real disk and a running machine come back in all their states, and the repository can be used on', async () => {
  await using made = await temporaryFolder();
  const state = join(made.folder, 'state');
  const first = quickstart('--dir', state);
  assert.equal(await first.ended, 0, first.printed.text);
  for (const step of [
    'backup (full)',
    'backup (increment)',
    'restore (first point',
    'restore (second point',
    'in all',
  ]) {
    assert.ok(first.printed.text.includes(step), `${step} is not in\n${first.printed.text}`);
  }
  assert.equal(first.printed.text.match(/identical/g)?.length, 2);
  assert.match(first.printed.text, /boot number 1\n[^]*boot number 2\n/);

  // The machine: frozen for a moment at most, increments small, every point up with all its records.
  for (const step of ['vm snapshot create', 'vm backup (full)', 'vm backup (after the crash)', 'says why']) {
    assert.ok(first.printed.text.includes(step), `${step} is not in\n${first.printed.text}`);
  }
  assert.match(first.printed.text, /vda: \w*bitmap\w*, vdb: \w*bitmap\w*\n/);
  const proved = [...first.printed.text.matchAll(/up; records 1 to (\d+) whole on both disks/g)];
  const lasts = proved.map(([, last]) => Number(last));
  assert.equal(lasts.length, 4);
  assert.deepEqual(
    lasts,
    lasts.toSorted((a, b) => a - b),
  );

  const increment = /backup \(increment\).* ([\d.]+) MiB more stored/.exec(first.printed.text)?.[1];
  assert.ok(Number(increment) < 20, `8 MiB of new data cost ${increment} MiB`);

  // The storage alone is enough, at another place too: adopt it, list it, restore a point that the story named.
  const copy = join(made.folder, 'copy');
  await cp(join(state, 'repository'), copy, { recursive: true });
  const storage = `file://${copy}`;
  const point = /restore .* (bkp_\w+) --to/.exec(first.printed.text)?.[1] ?? 'none';
  await succeeds('bin/holdfast', ['repo', 'adopt', '--storage', storage]);
  assert.ok((await succeeds('bin/holdfast', ['points', '--storage', storage, '--json'])).includes(point));
  const restored = join(made.folder, 'restored.raw');
  await succeeds('bin/holdfast', ['restore', '--storage', storage, point, '--to', restored]);
  await succeeds('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', restored, join(state, 'kept-1.qcow2')]);
});

test('with --once nothing is left, and neither is after an interrupt', async () => {
  await using made = await temporaryFolder();
  const state = join(made.folder, 'state');
  const run = quickstart('--once', '--dir', state);
  while (!existsSync(join(state, 'change.log')) && run.child.exitCode === null) {
    await new Promise((wake) => setTimeout(wake, 20));
  }
  run.child.kill('SIGINT'); // while the guest boots
  assert.equal(await run.ended, 130, run.printed.text);
  assert.equal(existsSync(state), false);
  assert.deepEqual(await machinesOf(state), []);
});

test('an interrupt of a running machine leaves nothing either', async () => {
  await using made = await temporaryFolder();
  const state = join(made.folder, 'state');
  const run = start(process.execPath, ['scripts/quickstart.ts', '--once', '--dir', state]);
  while (!run.printed.text.includes('boot a machine') && run.child.exitCode === null) {
    await new Promise((wake) => setTimeout(wake, 20));
  }
  run.child.kill('SIGINT'); // while it is protected
  assert.equal(await run.ended, 130, run.printed.text);
  assert.equal(existsSync(state), false);
});

test('a folder that holds other things is not touched', async () => {
  const run = quickstart('--once', '--dir', import.meta.dirname);
  assert.equal(await run.ended, 1);
  assert.match(run.printed.text, /holds other things/);
  assert.ok(existsSync(import.meta.filename));
});

test('a wrong option is explained', async () => {
  const run = quickstart('--twice');
  assert.equal(await run.ended, 2);
  assert.match(run.printed.text, /--once/);
});

/** Processes that have a file of `folder` on their command line. */
async function machinesOf(folder: string): Promise<readonly string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(folder));
}
