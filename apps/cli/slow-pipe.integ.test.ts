/** What a command prints arrives whole, also where nobody reads it for a while: a pipe takes 64 KiB at a time. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { backup, initRepository, openRepository } from '@holdfast/engine';
import { LocalStore } from '@holdfast/storage';
import { MemoryDisk, MemorySource, temporaryDirectory } from '@holdfast/testing';
import { program } from './testing/run-holdfast.ts';

const execute = promisify(execFile);
const pointCount = 60;
const label = 'as long as three pages '.repeat(150);

test('the end of a long listing is not lost in a pipe that is read late', async () => {
  await using directory = await temporaryDirectory();
  const repository = join(directory.path, 'r');
  await using store = await LocalStore.open({ directory: repository, create: true });
  await initRepository({ store });
  const opened = await openRepository({ store });
  for (let point = 0; point < pointCount; point += 1) {
    await using source = new MemorySource({ disk: new MemoryDisk(4096) });
    await backup({ repository: opened, resource: `volumes/v${point}`, disks: [{ name: 'vda', source }], label });
  }
  // A pipe between two processes, whose reader begins when the list was made long ago.
  const script = '{ "$1" points --storage "file://$2" --json; echo "$?" >&2; } | { sleep 1.5; cat; }';
  const { stdout: printed, stderr } = await execute('sh', ['-c', script, 'sh', program, repository]);
  assert.equal(stderr.trim(), '0');
  assert.ok(printed.length > 2 * 64 * 1024, `${printed.length} bytes would fit into the pipe`);
  const { points }: { points: readonly unknown[] } = JSON.parse(printed);
  assert.equal(points.length, pointCount);
});
