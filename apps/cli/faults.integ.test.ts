/** Bad input and bad circumstances: each ends with its code, its exit code and a remedy, and leaves nothing half-made. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MiB } from '@holdfast/base';
import { mountForTest, type TemporaryDirectory, temporaryDirectory } from '@holdfast/testing';
import { type Environment, holdfast, type Run, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk, runTool } from './testing/test-disks.ts';

/** One repository with two points that no test below changes. */
let directory: TemporaryDirectory;
let disk: string;
let storage: readonly string[];
let point: string;
let twoDisks: string;

const at = (name: string): string => join(directory.path, name);
const storageAt = (name: string): readonly string[] => ['--storage', `file://${at(name)}`];

before(async () => {
  directory = await temporaryDirectory();
  disk = await makeDisk({ path: at('disk.raw'), sizeBytes: 8 * MiB, dataBytes: 4 * MiB });
  storage = storageAt('repository');
  await holdfast(['repo', 'init', ...storage]);
  point = String((await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]))['point']);
  const disks = ['--disk', `vda=${disk}`, '--disk', `vdb=${disk}`];
  twoDisks = String((await holdfast(['backup', ...storage, '--resource', 'instances/m', ...disks]))['point']);
});

after(() => directory[Symbol.asyncDispose]());

type Expected = { readonly code: string; readonly exitCode: number; readonly says?: RegExp };

/** The command fails as promised, for scripts and for people. */
async function fails(words: readonly string[], expected: Expected, environment: Environment = {}): Promise<void> {
  const forScripts = await runHoldfast([...words, '--json'], environment);
  assertProblem(forScripts, expected);
  const forPeople = await runHoldfast(words, environment);
  assert.equal(forPeople.code, expected.exitCode);
  assert.match(forPeople.stderr, new RegExp(`^holdfast: .+: .+\\nremedy: .+\\ncode: ${expected.code}\\n$`, 'm'));
}

function assertProblem(run: Run, expected: Expected): void {
  const problem = run.objects.at(-1);
  const { type, code, detail } = problem ?? {};
  assert.deepEqual(
    { type, code, exit: run.code },
    { type: 'problem', code: expected.code, exit: expected.exitCode },
    run.stderr,
  );
  assert.ok(String(problem?.['remedy']).length > 10);
  if (expected.says) assert.match(String(detail), expected.says);
  assert.doesNotMatch(run.stderr, /^\s+at .*:\d+:\d+/m, 'no trace unless asked for');
}

const backupOf = (...words: readonly string[]): readonly string[] => [
  'backup',
  ...storage,
  '--resource',
  'volumes/a',
  ...words,
];

async function pointIds(of: readonly string[] = storage): Promise<readonly string[]> {
  const { points } = await holdfast(['points', ...of]);
  return (points as { point: string }[]).map((found) => found.point);
}

test('an empty directory is no repository, and one that is not there no storage', async () => {
  await mkdir(at('empty'));
  await fails(['points', ...storageAt('empty')], { code: 'not_a_repository', exitCode: 1 });
  await fails(['key', 'list', ...storageAt('empty')], { code: 'not_a_repository', exitCode: 1 });
  await fails(['backup', ...storageAt('nowhere'), '--resource', 'volumes/a', disk], {
    code: 'storage_unreachable',
    exitCode: 1,
  });
  assert.equal(existsSync(at('nowhere')), false);
});

test('a repository is not made over another one', async () => {
  await fails(['repo', 'init', ...storage], { code: 'repository_exists', exitCode: 1 });
});

test('a repository of a newer version is left alone', async () => {
  await holdfast(['repo', 'init', ...storageAt('newer')]);
  const file = at('newer/repo.json');
  const [, body = ''] = /\n([^]*)$/.exec(await readFile(file, 'utf8')) ?? [];
  const newer = body.replace('"format": 1', '"format": 2');
  assert.notEqual(newer, body);
  await runTool('chmod', 'u+w', file);
  await writeFile(file, `holdfast-sha256:${createHash('sha256').update(newer).digest('hex')}\n${newer}`);
  await fails(['points', ...storageAt('newer')], { code: 'repository_newer', exitCode: 1, says: /format 2/ });
});

test('a wrong passphrase, none, and an unreadable passphrase file', async () => {
  const encrypted = storageAt('encrypted');
  await holdfast(['repo', 'init', ...encrypted, '--encrypt'], { HOLDFAST_PASSPHRASE: 'right' });
  await fails(['points', ...encrypted], { code: 'key_wrong', exitCode: 1 }, { HOLDFAST_PASSPHRASE: 'wrong' });
  await fails(['points', ...encrypted], { code: 'key_required', exitCode: 1 });
  await fails(['points', ...encrypted, '--passphrase-file', at('none')], { code: 'usage', exitCode: 2 });
  await fails(['repo', 'init', ...storageAt('other'), '--encrypt'], { code: 'key_required', exitCode: 1 });
  assert.equal(existsSync(at('other')), false);
});

test('a passphrase for a repository that is not encrypted is refused, not silently useless', async () => {
  await fails(['key', 'add', ...storage], { code: 'usage', exitCode: 2 }, { HOLDFAST_NEW_PASSPHRASE: 'x' });
});

test('a source that is not there, is a directory, or is no disk at all', async () => {
  await fails(backupOf(at('none.raw')), { code: 'source_not_found', exitCode: 1, says: /none\.raw/ });
  await fails(backupOf(directory.path), { code: 'source_unreadable', exitCode: 1 });
  await fails(backupOf('gopher://host/disk'), { code: 'usage', exitCode: 2 });
  await fails(backupOf(`nbd+unix:///vda?socket=${at('nobody')}`), { code: 'nbd_failed', exitCode: 1 });
  assert.deepEqual(await pointIds(), [point, twoDisks]);
});

test('a source that gets shorter while it is read fails the point', async () => {
  const shrinking = await makeDisk({ path: at('shrinking.raw'), sizeBytes: 160 * MiB, dataBytes: 160 * MiB });
  const run = startHoldfast([...backupOf('--limit-rate', '32M', shrinking), '--json']);
  await run.object('progress');
  await truncate(shrinking, 150 * MiB);
  assertProblem(await run.ended, { code: 'source_changed', exitCode: 1 });
  assert.deepEqual(await pointIds(), [point, twoDisks]);
});

test('changes need a parent, and lie inside the disk', async () => {
  await writeFile(at('changed.json'), JSON.stringify([{ offset: 8 * MiB - 1, length: 2 }]));
  await fails(backupOf('--changed', at('changed.json'), disk), { code: 'usage', exitCode: 2 });
  await fails(backupOf('--bitmap', 'daily', disk), { code: 'usage', exitCode: 2 });
  const words = ['--parent', point, '--changed'];
  const outside = { code: 'changed_extents_invalid', exitCode: 1, says: /8388609/ };
  await fails(backupOf(...words, at('changed.json'), disk), outside);
  await fails(backupOf(...words, at('none.json'), disk), { code: 'changed_extents_invalid', exitCode: 1 });
  await fails(backupOf(...words, disk, disk), { code: 'changed_extents_invalid', exitCode: 1 });
});

test('a parent of another resource is refused', async () => {
  await fails(backupOf('--parent', twoDisks, disk), { code: 'usage', exitCode: 2, says: /instances\/m/ });
});

test('an unknown point, an ambiguous one, an unknown disk', async () => {
  const to = ['--to', at('never.raw')];
  await fails(['restore', ...storage, 'bkp_ffffffff', ...to], { code: 'point_not_found', exitCode: 1 });
  await fails(['restore', ...storage, 'bkp_01', ...to], { code: 'point_not_found', exitCode: 1 });
  await fails(['restore', ...storage, point.slice(0, 8), ...to], { code: 'point_ambiguous', exitCode: 1 });
  await fails(['restore', ...storage, 'latest', ...to], { code: 'usage', exitCode: 2 });
  await fails(['restore', ...storage, point, '--disk', 'vdb', ...to], {
    code: 'disk_not_found',
    exitCode: 1,
    says: /vda/,
  });
  await fails(['restore', ...storage, twoDisks, ...to], { code: 'disk_not_found', exitCode: 1, says: /vda, vdb/ });
  await fails(['serve', ...storage, point, '--disk', 'vdb', '--socket', at('s')], {
    code: 'disk_not_found',
    exitCode: 1,
  });
  assert.equal(existsSync(at('never.raw')), false);
});

test('a target that exists is left alone without --force', async () => {
  const target = await makeDisk({ path: at('precious.raw'), sizeBytes: MiB, dataBytes: MiB });
  const content = await hashOf(target);
  await fails(['restore', ...storage, point, '--to', target], { code: 'target_exists', exitCode: 1 });
  await fails(['restore', ...storage, point, '--to', disk, '--format', 'qcow2'], {
    code: 'target_exists',
    exitCode: 1,
  });
  assert.equal(await hashOf(target), content);
});

test('a target that is too small, and one that nobody offers', async () => {
  const small = at('small.raw');
  await makeDisk({ path: small, sizeBytes: 4 * MiB, dataBytes: 0 });
  const socket = at('small.socket');
  const server = runTool('qemu-nbd', '-f', 'raw', '-x', 'small', '-k', socket, small);
  while (!existsSync(socket)) await new Promise((wake) => setTimeout(wake, 20));
  // qemu-nbd ends with its first client, so one run is all there is.
  const run = await runHoldfast(['restore', ...storage, point, '--to', `nbd+unix:///small?socket=${socket}`, '--json']);
  assertProblem(run, { code: 'target_too_small', exitCode: 1 });
  await server;
  await fails(['restore', ...storage, point, '--to', `nbd+unix:///x?socket=${at('nobody')}`], {
    code: 'nbd_failed',
    exitCode: 1,
  });
});

test('a target whose directory is not there, or that cannot be written', async (t) => {
  const refused = { code: 'target_unwritable', exitCode: 1 };
  await fails(['restore', ...storage, point, '--to', at('no/such/place.raw')], refused);
  await using mount = await mountForTest({ at: at('readonly-target'), options: 'ro,size=1m', test: t });
  if (!mount) return;
  await fails(['restore', ...storage, point, '--to', at('readonly-target/a.raw')], refused);
  await fails(['restore', ...storage, point, '--to-dir', at('readonly-target/all')], refused);
});

test('a storage that cannot be written can still be restored from', async (t) => {
  await using mount = await mountForTest({ at: at('readonly'), options: 'size=400m', test: t });
  if (!mount) return;
  await cp(at('repository'), at('readonly'), { recursive: true });
  await runTool('mount', '-o', 'remount,ro', at('readonly'));
  const readOnly = storageAt('readonly');
  await fails(['backup', ...readOnly, '--resource', 'volumes/a', disk], { code: 'storage_denied', exitCode: 1 });
  await fails(['storage', 'check', ...readOnly], { code: 'storage_contract_broken', exitCode: 1 });
  await holdfast(['verify', ...readOnly]);
  await holdfast(['restore', ...readOnly, point, '--to', at('from-readonly.raw')]);
  assert.equal(await hashOf(at('from-readonly.raw')), await hashOf(disk));
});

test('a full storage fails the point and keeps those that are there', async (t) => {
  await using mount = await mountForTest({ at: at('full'), options: 'size=9m', test: t });
  if (!mount) return;
  const full = storageAt('full/r');
  await holdfast(['repo', 'init', ...full]);
  const first = await holdfast(['backup', ...full, '--resource', 'volumes/a', disk]);
  const large = await makeDisk({ path: at('large.raw'), sizeBytes: 20 * MiB, dataBytes: 20 * MiB });
  await fails(['backup', ...full, '--resource', 'volumes/b', large], { code: 'storage_full', exitCode: 1 });
  assert.deepEqual(await pointIds(full), [first['point']]);
  await holdfast(['restore', ...full, String(first['point']), '--to', at('from-full.raw')]);
  assert.equal(await hashOf(at('from-full.raw')), await hashOf(disk));
});

test('a full target fails the restore and leaves nothing that could pass for a disk', async (t) => {
  await using mount = await mountForTest({ at: at('full-target'), options: 'size=2m', test: t });
  if (!mount) return;
  await fails(['restore', ...storage, point, '--to', at('full-target/a.raw')], { code: 'target_full', exitCode: 1 });
  assert.deepEqual(await readdir(at('full-target')), []);
});

test('a damaged pack fails verify and restore, a damaged manifest the list, and each says which point', async () => {
  const rotten = storageAt('rotten');
  await holdfast(['repo', 'init', ...rotten]);
  const kept = await holdfast(['backup', ...rotten, '--resource', 'volumes/kept', disk]);
  const other = await makeDisk({ path: at('other.raw'), sizeBytes: 2 * MiB, dataBytes: 2 * MiB });
  const lost = await holdfast(['backup', ...rotten, '--resource', 'volumes/lost', other]);
  const packs = (await readdir(at('rotten/d/default/data'), { recursive: true })).filter((name) => name.includes('/'));
  const sizes = await Promise.all(
    packs.map(async (name) => (await readFile(at(`rotten/d/default/data/${name}`))).length),
  );
  const pack = at(`rotten/d/default/data/${packs[sizes.indexOf(Math.min(...sizes))]}`);
  await runTool('chmod', 'u+w', pack);
  await patchDisk(pack, { offset: 1_000_000, bytes: Buffer.from('rot') });
  await holdfast(['verify', ...rotten, '--presence']);
  const verify = await runHoldfast(['verify', ...rotten, '--json']);
  assertProblem(verify, { code: 'chunk_corrupt', exitCode: 1 });
  const verdicts = verify.objects.at(-2)?.['points'] as { point: string; ok: boolean }[];
  assert.deepEqual(
    verdicts.map((verdict) => [verdict.point, verdict.ok]),
    [
      [kept['point'], true],
      [lost['point'], false],
    ],
  );
  const to = ['--to', at('never.raw')];
  await fails(['restore', ...rotten, String(lost['point']), ...to], { code: 'chunk_corrupt', exitCode: 1 });
  assert.equal(existsSync(at('never.raw')), false);

  const manifests = at('rotten/d/default/rp/volumes/lost');
  const manifest = join(manifests, (await readdir(manifests))[0]!);
  await runTool('chmod', 'u+w', manifest);
  await patchDisk(manifest, { offset: 50, bytes: Buffer.from('rot') });
  const list = await runHoldfast(['points', ...rotten, '--json']);
  assertProblem(list, { code: 'repository_damaged', exitCode: 1 });
  const listed = list.objects.at(-2) ?? {};
  assert.deepEqual(
    (listed['points'] as { point: string }[]).map((found) => found.point),
    [kept['point']],
  );
  assert.match(JSON.stringify(listed['damaged']), new RegExp(String(lost['point'])));
  await holdfast(['restore', ...rotten, String(kept['point']), '--to', at('kept.raw')]);
});

test('words that make no command', async () => {
  const usage = { code: 'usage', exitCode: 2 };
  await fails([], usage);
  await fails(['bakcup'], usage);
  await fails(['repo'], usage);
  await fails(['repo', 'destroy'], usage);
  await fails(['backup', ...storage, disk], usage);
  await fails(backupOf(), usage);
  await fails(backupOf('--disk', `vda=${disk}`, '--disk', `vda=${disk}`), usage);
  await fails(['restore', ...storage, point], usage);
  await fails(backupOf('--fence', 'ses_1', disk), usage);
  await fails(['backup', ...storage, '--resource', 'web 1', disk], { code: 'resource_invalid', exitCode: 2 });
  await fails(['points', '--storage', directory.path], { code: 'storage_url_invalid', exitCode: 2, says: /path/ });
  await fails(['points', '--storage', 's3://bucket/x'], { code: 'storage_url_invalid', exitCode: 2 });
});

test('a trace is there for whoever looks for a bug', async () => {
  const run = await runHoldfast(['points', ...storageAt('empty')], { HOLDFAST_DEBUG: '1' });
  assert.match(run.stderr, /code: not_a_repository\n.*HoldfastError[^]* at .*:\d+:\d+[^]*cause/);
});
