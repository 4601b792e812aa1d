import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, stat, symlink } from 'node:fs/promises';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { run, scratchDirectory } from '../testing/scratch-directory.ts';
import { exportImage } from './export-image.ts';
import { startStorageDaemon } from './storage-daemon.ts';

test('the socket directory is private and goes with the daemon', async () => {
  const daemon = await startStorageDaemon({});
  assert.equal((await stat(daemon.directory)).mode & 0o777, 0o700);
  await daemon.quit();
  await daemon[Symbol.asyncDispose]();
  await assert.rejects(stat(daemon.directory), { code: 'ENOENT' });
});

test('an abort kills the daemon and whoever waits for it hears the reason', async () => {
  const stop = new AbortController();
  await using daemon = await startStorageDaemon({ signal: stop.signal });
  const waiting = daemon.execute({ command: 'query-version', doing: 'x', role: 'source' });
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
});

test('an image is ready within a fraction of a second, in every round', async () => {
  await using scratch = await scratchDirectory();
  const path = scratch.path('a, b=c.qcow2');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', path, '1G');
  const times: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const startedMs = performance.now();
    await using image = await exportImage({ path, format: 'qcow2', writable: false });
    times.push(performance.now() - startedMs);
    assert.ok(image.pid > 0);
  }
  assert.ok(Math.min(...times) < 500, times.join());
});

test('a machine without QEMU is told what to install', async () => {
  await using scratch = await scratchDirectory();
  await mkdir(scratch.path('bin'));
  for (const program of ['env', 'setpriv']) await symlink(run('which', program).trim(), scratch.path(`bin/${program}`));
  const program = `
    const { exportImage } = await import(${JSON.stringify(new URL('./export-image.ts', import.meta.url).href)});
    const { openFileSource } = await import(${JSON.stringify(new URL('../file/file-source.ts', import.meta.url).href)});
    const { openFileTarget } = await import(${JSON.stringify(new URL('../file/file-target.ts', import.meta.url).href)});
    const path = ${JSON.stringify(scratch.path('d.raw'))};
    {
      await using target = await openFileTarget({ path, sizeBytes: 100 << 20, overwrite: false });
      await target.flush();
    }
    for (const open of [
      () => exportImage({ path, format: 'raw', writable: false }),
      async () => { for await (const _ of (await openFileSource({ path })).extents({ offset: 0, length: 100 << 20 })); },
    ]) {
      try { await open(); } catch (error) { console.log(error.code + '|' + error.remedy); }
    }
    {
      await using target = await openFileTarget({ path, sizeBytes: 100 << 20, overwrite: true });
      await target.zero({ offset: 0, length: 4096 });
      console.log('overwritten');
    }
    process.exit(0);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    env: { PATH: scratch.path('bin') },
    encoding: 'utf8',
  });
  const lines = stdout.trim().split('\n');
  assert.deepEqual(
    lines,
    [
      'qemu_failed|apt-get install qemu-utils qemu-system-common',
      'qemu_failed|apt-get install qemu-utils qemu-system-common',
      'overwritten',
    ],
    stderr,
  );
});

test('an image that cannot be opened fails and leaves no process behind', async () => {
  await using scratch = await scratchDirectory();
  await assert.rejects(exportImage({ path: scratch.path('none'), format: 'raw', writable: false }), (error) =>
    hasCode(error, 'source_not_found'),
  );
});
