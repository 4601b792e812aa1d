/** Passphrases of an encrypted repository, and its keys. */
import assert from 'node:assert/strict';
import { cp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { holdfast, runHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk } from './testing/test-disks.ts';

test('an encrypted repository opens with each of its passphrases, and with an exported key put back', async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const storage = ['--storage', `file://${at('repository')}`];
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 3 * MiB, dataBytes: 2 * MiB });
  await writeFile(at('one'), 'first secret\n');
  const one = ['--passphrase-file', at('one')];
  assert.equal((await holdfast(['repo', 'init', ...storage, ...one]))['encrypted'], true);
  const { point } = await holdfast(['backup', ...storage, ...one, '--resource', 'volumes/a', disk]);
  await holdfast(['key', 'add', ...storage, ...one, '--label', 'second'], { HOLDFAST_NEW_PASSPHRASE: 'zwei' });

  const keys = (await holdfast(['key', 'list', ...storage]))['keys'] as { key: string; label: string }[];
  assert.deepEqual(
    keys.map(({ label }) => label),
    ['first key', 'second'],
  );
  const { key } = keys[1]!;
  await holdfast(['key', 'export', ...storage, '--key', key, '--to', at('kept')]);
  assert.equal((await stat(at('kept'))).mode & 0o777, 0o600);
  assert.match(await readFile(at('kept.txt'), 'utf8'), new RegExp(`keys/${key}`));
  const refused = await runHoldfast(['key', 'export', ...storage, '--key', key, '--to', at('kept'), '--json']);
  assert.deepEqual([refused.code, refused.objects.at(-1)?.['code']], [1, 'target_exists']);

  await rm(at('repository/keys'), { recursive: true });
  const locked = await runHoldfast(['points', ...storage, '--json'], { HOLDFAST_PASSPHRASE: 'zwei' });
  assert.deepEqual([locked.code, locked.objects.at(-1)?.['code']], [1, 'key_missing']);
  await cp(at('kept'), at(`repository/keys/${key}`), { recursive: true });
  await holdfast(['restore', ...storage, String(point), '--to', at('b.raw')], { HOLDFAST_PASSPHRASE: 'zwei' });
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
});

test('a passphrase is rotated, another one removed, and what is left opens the points', async () => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const storage = ['--storage', `file://${at('repository')}`];
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 2 * MiB, dataBytes: MiB });
  await writeFile(at('one'), 'one\n');
  await writeFile(at('two'), 'two\n');
  const one = ['--passphrase-file', at('one')];
  const two = ['--passphrase-file', at('two')];
  await holdfast(['repo', 'init', ...storage, ...one]);
  const { point } = await holdfast(['backup', ...storage, ...one, '--resource', 'volumes/a', disk]);
  const added = await holdfast(['key', 'add', ...storage, ...one, '--label', 'alice'], {
    HOLDFAST_NEW_PASSPHRASE: 'of alice',
  });
  const [first] = (await holdfast(['key', 'list', ...storage]))['keys'] as { key: string }[];
  const rotated = await holdfast(['key', 'rotate', ...storage, ...one, '--new-passphrase-file', at('two')]);
  assert.deepEqual(rotated['replaced'], [first?.key]);
  const codeOf = async (words: readonly string[]) => {
    const run = await runHoldfast([...words, '--json']);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  assert.deepEqual(await codeOf(['points', ...storage, ...one]), [1, 'key_wrong']);
  assert.deepEqual(await codeOf(['key', 'remove', ...storage, ...two, String(rotated['key'])]), [1, 'last_key']);
  await holdfast(['key', 'remove', ...storage, ...two, String(added['key'])]);
  const left = (await holdfast(['key', 'list', ...storage]))['keys'] as { key: string; label: string }[];
  assert.deepEqual(
    left.map(({ key, label }) => [key, label]),
    [[rotated['key'], 'first key']],
  );
  await holdfast(['restore', ...storage, ...two, String(point), '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
});
