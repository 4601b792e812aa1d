import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemErrorCode } from './errors/holdfast-error.ts';
import { makeDirectories } from './make-directories.ts';

const fails = (code: string) => (error: unknown) => systemErrorCode(error) === code;

test('what is missing is made with the mode, and the topmost of it told', async (t) => {
  const top = await mkdtemp(join(tmpdir(), 'holdfast-directories-'));
  t.after(() => rm(top, { recursive: true }));
  const deep = join(top, 'a/b/c');
  assert.equal(await makeDirectories(deep, { mode: 0o710 }), join(top, 'a'));
  for (const made of ['a', 'a/b', 'a/b/c']) assert.equal((await stat(join(top, made))).mode & 0o777, 0o710);
  assert.equal(await makeDirectories(deep), undefined);
  assert.equal(await makeDirectories(join(deep, 'd/')), join(deep, 'd/'));
});

test('what is in the way is told, and no loop comes of it', { timeout: 10_000 }, async (t) => {
  const top = await mkdtemp(join(tmpdir(), 'holdfast-directories-'));
  t.after(() => rm(top, { recursive: true }));
  await writeFile(join(top, 'file'), '');
  await symlink(join(top, 'nowhere'), join(top, 'dangling'));
  await assert.rejects(makeDirectories(join(top, 'file')), fails('EEXIST'));
  await assert.rejects(makeDirectories(join(top, 'file/below/it')), fails('ENOTDIR'));
  await assert.rejects(makeDirectories(join(top, 'dangling/below')), fails('EEXIST'));
  await assert.rejects(makeDirectories('/proc/holdfast/below'), fails('ENOENT'));
});
