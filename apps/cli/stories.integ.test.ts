/** What users do with the command, on real files, through the real command. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { MiB } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { holdfast, program, runHoldfast, startHoldfast } from './testing/run-holdfast.ts';
import { hashOf, makeDisk, patchDisk, runTool } from './testing/test-disks.ts';

async function house(init: readonly string[] = []) {
  const directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const storage = ['--storage', `file://${at('repository')}`] as const;
  await holdfast(['repo', 'init', ...storage, ...init]);
  return { at, storage, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

const list = async (storage: readonly string[]): Promise<readonly Record<string, unknown>[]> =>
  (await holdfast(['points', ...storage]))['points'] as readonly Record<string, unknown>[];

test('a disk of odd size comes back, new and in place, where only what differs is written', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 40 * MiB + 12_345, dataBytes: 10 * MiB + 77 });
  const first = await holdfast(['backup', ...storage, '--resource', 'volumes/a', '--label', 'before', disk]);
  assert.equal(first['kind'], 'full');
  assert.equal(first['increment_id'], 1);
  assert.ok(Number(first['read_bytes']) >= 10 * MiB && Number(first['read_bytes']) <= 12 * MiB);
  assert.ok(Number(first['put_bytes']) > 10 * MiB && Number(first['put_bytes']) < 11.5 * MiB);
  assert.ok(Number(first['put_objects']) >= 4);
  const original = await hashOf(disk);

  const point = String(first['point']);
  const restored = await holdfast(['restore', ...storage, point, '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), original);
  assert.equal((await stat(at('b.raw'))).size, 40 * MiB + 12_345);
  assert.ok((await stat(at('b.raw'))).blocks * 512 < 13 * MiB, 'holes stay holes');
  assert.deepEqual(
    (restored['disks'] as { name: string }[]).map(({ name }) => name),
    ['vda'],
  );

  await patchDisk(
    at('b.raw'),
    { offset: 5 * MiB, bytes: randomBytes(100) },
    { offset: 30 * MiB, bytes: randomBytes(9) },
  );
  const again = await holdfast(['restore', ...storage, point.slice(0, 20), '--to', at('b.raw'), '--force']);
  assert.equal(await hashOf(at('b.raw')), original);
  const [outcome] = again['disks'] as { written_bytes: number; kept_bytes: number }[];
  assert.equal(outcome?.written_bytes, MiB);
  assert.ok(outcome.kept_bytes > 9 * MiB);
});

test('an increment from a file of changes reads them alone, also where data became zeros', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 64 * MiB, dataBytes: 64 * MiB });
  await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
  await patchDisk(disk, { offset: 7 * MiB, bytes: Buffer.alloc(MiB) }, { offset: 9 * MiB + 5, bytes: randomBytes(10) });
  await writeFile(
    at('changed.json'),
    JSON.stringify([
      { offset: 7 * MiB, length: MiB },
      { offset: 9 * MiB + 5, length: 10 },
    ]),
  );
  const words = ['backup', ...storage, '--resource', 'volumes/a', '--parent', 'latest'];
  const second = await holdfast([...words, '--changed', at('changed.json'), disk]);
  assert.equal(second['kind'], 'incremental');
  assert.equal(second['increment_id'], 2);
  // Two chunks and the sample of sixteen clean ones.
  assert.ok(Number(second['read_bytes']) <= 18 * MiB, String(second['read_bytes']));
  await holdfast(['restore', ...storage, 'latest', '--resource', 'volumes/a', '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
});

test('a qcow2 bitmap makes an increment; one that is missing a full read with its reason', async () => {
  await using made = await house();
  const { at, storage } = made;
  await makeDisk({ path: at('a.raw'), sizeBytes: 32 * MiB, dataBytes: 32 * MiB });
  const disk = at('a.qcow2');
  await runTool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', at('a.raw'), disk);
  await runTool('qemu-img', 'bitmap', '--add', disk, 'daily');
  const words = ['backup', ...storage, '--resource', 'volumes/a', disk];
  const first = await holdfast(words);
  await runTool('qemu-io', '-f', 'qcow2', '-c', 'write -P 7 5M 64k', disk);
  const second = await holdfast([...words, '--parent', String(first['point']), '--bitmap', 'daily']);
  assert.equal(second['kind'], 'incremental');
  assert.deepEqual(second['warnings'], []);
  await holdfast(['restore', ...storage, String(second['point']), '--to', at('b.qcow2'), '--format', 'qcow2']);
  await runTool('qemu-img', 'compare', disk, at('b.qcow2'));

  const run = await runHoldfast([...words, '--parent', String(second['point']), '--bitmap', 'weekly', '--json']);
  assert.equal(run.code, 0, run.stderr);
  const third = run.objects.at(-1);
  assert.equal(third?.['kind'], 'full');
  assert.equal(third['requested'], 'incremental');
  assert.match(JSON.stringify(third['disks']), /"fallback_reason":"bitmap_not_found"/);
  assert.match(run.stderr, /weekly/);
});

test('several disks are one point, restored one by one or together', async () => {
  await using made = await house();
  const { at, storage } = made;
  await makeDisk({ path: at('a.raw'), sizeBytes: 5 * MiB, dataBytes: 3 * MiB });
  await makeDisk({ path: at('b.raw'), sizeBytes: 3 * MiB, dataBytes: 3 * MiB });
  const disks = ['--disk', `vda=${at('a.raw')}`, '--disk', `vdb=${at('b.raw')}`];
  const { point } = await holdfast(['backup', ...storage, '--resource', 'instances/m', ...disks]);
  await holdfast(['restore', ...storage, String(point), '--disk', 'vdb', '--to', at('b2.raw')]);
  assert.equal(await hashOf(at('b2.raw')), await hashOf(at('b.raw')));
  await holdfast(['restore', ...storage, String(point), '--to-dir', at('all')]);
  assert.equal(await hashOf(at('all/vda.raw')), await hashOf(at('a.raw')));
  assert.equal(await hashOf(at('all/vdb.raw')), await hashOf(at('b.raw')));
  assert.deepEqual(
    (await list(storage)).map(({ disks: found }) => (found as unknown[]).length),
    [2],
  );
});

test('a disk that grew and shrank between backups comes back in each of its sizes', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 6 * MiB, dataBytes: 6 * MiB });
  const sizes = [6 * MiB, 11 * MiB + 512, 3 * MiB + 1];
  const states: { point: string; hash: string }[] = [];
  for (const sizeBytes of sizes) {
    await truncate(disk, sizeBytes);
    const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
    states.push({ point: String(point), hash: await hashOf(disk) });
  }
  for (const { point, hash } of states) {
    await holdfast(['restore', ...storage, point, '--to', at('b.raw'), '--force']);
    assert.equal(await hashOf(at('b.raw')), hash);
  }
});

test('a copy of the directory is adopted, verified and restored without anything else', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 8 * MiB, dataBytes: 5 * MiB });
  const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
  await cp(at('repository'), at('copy'), { recursive: true });
  await rm(at('repository'), { recursive: true });
  const copy = ['--storage', `file://${at('copy')}`];
  const adopted = await holdfast(['repo', 'adopt', ...copy]);
  assert.deepEqual(
    (adopted['points'] as { point: string }[]).map((found) => found.point),
    [point],
  );
  assert.equal(adopted['index_entries'], 5);
  for (const scope of [[], ['--presence']]) {
    const verified = await holdfast(['verify', ...copy, ...scope]);
    assert.deepEqual(
      (verified['points'] as { ok: boolean }[]).map(({ ok }) => ok),
      [true],
    );
  }
  assert.equal((await holdfast(['repo', 'check', ...copy]))['points'], 1);
  await holdfast(['restore', ...copy, String(point), '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
  const again = await holdfast(['backup', ...copy, '--resource', 'volumes/other', disk]);
  assert.match(JSON.stringify(again['disks']), /"new_chunks":0/);
});

for (const [how, signal] of [
  ['SIGTERM', 'SIGTERM'],
  ['an interrupt', 'SIGINT'],
] as const) {
  test(`a point is served over NBD until ${how}, and nothing of it is left then`, async () => {
    await using made = await house();
    const { at, storage } = made;
    const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 9 * MiB, dataBytes: 4 * MiB });
    const { point } = await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]);
    const words = ['serve', ...storage, String(point), '--disk', 'vda', '--socket', at('socket'), '--json'];
    const serving = startHoldfast(words);
    const { uri } = await serving.object('ready');
    assert.equal(uri, `nbd+unix:///vda?socket=${at('socket')}`);
    await runTool('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, at('b.raw'));
    assert.equal(await hashOf(at('b.raw')), await hashOf(disk));
    await assert.rejects(runTool('qemu-io', '-f', 'raw', '-c', 'write 0 512', uri), 'read-only');
    const sessions = (await holdfast(['repo', 'check', ...storage]))['sessions'] as { role: string }[];
    assert.deepEqual(
      sessions.map(({ role }) => role),
      ['reader'],
    );
    serving.child.kill(signal);
    const run = await serving.ended;
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.objects.at(-1)?.['type'], 'result');
    assert.deepEqual((await holdfast(['repo', 'check', ...storage]))['sessions'], []);
    assert.equal(existsSync(at('socket')), false);
  });
}

test('points go to the trash and come back, and what nobody needs is freed', async () => {
  await using made = await house();
  const { at, storage } = made;
  const cache = ['--cache', at('cache')];
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 16 * MiB, dataBytes: 16 * MiB });
  const words = ['backup', ...storage, '--resource', 'volumes/a', disk];
  const first = String((await holdfast(words))['point']);
  const original = await hashOf(disk);
  await patchDisk(disk, { offset: 0, bytes: randomBytes(8 * MiB) });
  const second = String((await holdfast([...words, '--parent', first]))['point']);
  const ids = async (...more: readonly string[]) => (await list([...storage, ...more])).map(({ point }) => point);

  const preview = await holdfast(['delete', ...storage, ...cache, first, '--dry-run']);
  assert.deepEqual(await ids(), [first, second]);
  assert.equal(Number(preview['dead_chunks']), 8);
  await holdfast(['delete', ...storage, first]);
  assert.deepEqual(await ids(), [second]);
  assert.deepEqual(await ids('--trashed'), [first]);
  const refused = await runHoldfast(['restore', ...storage, first, '--to', at('no.raw'), '--json']);
  assert.equal(refused.objects.at(-1)?.['code'], 'point_not_found');
  assert.match(refused.stderr, new RegExp(`holdfast undelete ${first}`));
  assert.deepEqual((await holdfast(['collect', ...storage, ...cache]))['purged_points'], []);
  await holdfast(['undelete', ...storage, first.slice(0, 24)]);
  assert.deepEqual(await ids(), [first, second]);
  await holdfast(['restore', ...storage, first, '--to', at('b.raw')]);
  assert.equal(await hashOf(at('b.raw')), original);

  await holdfast(['delete', ...storage, '--resource', 'volumes/a']);
  assert.deepEqual(await ids(), []);
  await holdfast(['undelete', ...storage, second]);
  await using directory = await temporaryDirectory();
  const serving = startHoldfast(['serve', ...storage, second, '--socket', join(directory.path, 'socket'), '--json']);
  await serving.object('ready');
  const dry = await holdfast(['collect', ...storage, ...cache, '--trash-days', '0', '--dry-run']);
  assert.deepEqual(await ids('--trashed'), [first]);
  const held = await holdfast(['collect', ...storage, ...cache, '--trash-days', '0']);
  assert.deepEqual(held['purged_points'], [first]);
  assert.deepEqual(held['condemned'], dry['condemned']);
  assert.deepEqual(held['deleted'], { packs: 0, bytes: 0 });
  const [holder] = held['held_back_by'] as { role: string; pid: number; resource: string }[];
  assert.deepEqual([holder?.role, holder?.resource], ['reader', 'volumes/a']);
  const check = await holdfast(['repo', 'check', ...storage]);
  const [condemned] = check['condemned'] as { packs: number; held_back_by: string[] }[];
  assert.equal(condemned?.packs, (held['condemned'] as { packs: number }).packs);
  assert.equal(condemned.held_back_by.length, 1);
  // Nobody can tell a killed server from a busy one but its own host.
  serving.child.kill('SIGKILL');
  await serving.ended;
  const last = await holdfast(['collect', ...storage, ...cache]);
  assert.equal((last['fenced_sessions'] as string[]).length, 1);
  assert.deepEqual(last['deleted'], held['condemned']);
  assert.deepEqual(last['open_epochs'], []);
  await holdfast(['restore', ...storage, second, '--to', at('c.raw')]);
  assert.equal(await hashOf(at('c.raw')), await hashOf(disk));
  assert.equal(
    ((await holdfast(['verify', ...storage]))['points'] as { ok: boolean }[]).every(({ ok }) => ok),
    true,
  );
  assert.deepEqual((await holdfast(['repo', 'check', ...storage]))['packs_orphaned'], { packs: 0, bytes: 0 });
  for (const bad of [
    ['--trash-days', '31'],
    ['--trash-days', 'x'],
    ['--wait', '5'],
    ['--fence', 'me'],
  ]) {
    assert.equal((await runHoldfast(['collect', ...storage, ...bad])).code, 2, bad.join(' '));
  }
});

test('an imported image is a legacy point of its own time and no series', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('old.raw'), sizeBytes: 2 * MiB, dataBytes: 2 * MiB });
  const words = ['import', ...storage, '--resource', 'volumes/old', '--taken-at', '2020-01-02T03:04:05Z', disk];
  const { point, series, increment_id: number } = await holdfast(words);
  assert.deepEqual({ series, number }, { series: null, number: null });
  const [found] = await list(storage);
  assert.ok(found);
  assert.equal(found['point'], point);
  assert.equal(found['origin'], 'import');
  assert.equal(found['created_at'], '2020-01-02T03:04:05.000Z');
});

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

test('points are copied to a repository with a passphrase of its own, and come back without the first', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 12 * MiB + 7, dataBytes: 9 * MiB });
  const hashes: string[] = [];
  const points: string[] = [];
  for (const offset of [0, 5 * MiB]) {
    await patchDisk(disk, { offset, bytes: randomBytes(1000) });
    points.push(String((await holdfast(['backup', ...storage, '--resource', 'volumes/a', disk]))['point']));
    hashes.push(await hashOf(disk));
  }
  await holdfast(['backup', ...storage, '--resource', 'volumes/b', disk]);
  const url = `file://${at('second')}`;
  const target = ['--storage', url];
  const passphrase = { HOLDFAST_PASSPHRASE: 'of the target' };
  await holdfast(['repo', 'init', ...target, '--encrypt'], passphrase);
  const words = ['copy', ...storage, '--to', url];
  const problemOf = async (more: readonly string[], environment = {}) => {
    const run = await runHoldfast([...words, ...more, '--json'], environment);
    return [run.code, run.objects.at(-1)?.['code']];
  };
  assert.deepEqual(await problemOf([]), [2, 'usage']);
  assert.deepEqual(await problemOf(['--all', points[0]!]), [2, 'usage']);
  // The passphrase of the one is not tried on the other.
  assert.deepEqual(await problemOf(['--all'], passphrase), [1, 'key_required']);
  await writeFile(at('to'), 'of the target\n');
  const to = ['--to-passphrase-file', at('to')];
  assert.deepEqual(await problemOf([...to, 'bkp_00000000']), [1, 'point_not_found']);

  const planned = await holdfast([...words, ...to, '--resource', 'volumes/a', '--dry-run']);
  const idsOf = (list: unknown) => (list as { point: string }[]).map(({ point }) => point);
  assert.deepEqual(idsOf(planned['missing']), points);
  assert.deepEqual(idsOf((await holdfast([...words, ...to, points[0]!]))['copied']), [points[0]]);
  const second = await holdfast([...words, ...to, '--all'], { HOLDFAST_TO_PASSPHRASE: 'ignored' });
  assert.deepEqual([idsOf(second['copied']).length, idsOf(second['skipped'])], [2, [points[0]]]);
  assert.ok(Number(second['fetched_bytes']) > 0 && Number(second['put_bytes']) > 0);
  const again = await runHoldfast([...words, '--all'], { HOLDFAST_TO_PASSPHRASE: 'of the target' });
  assert.match(again.stdout, /^0 points copied, 3 there already; .* fetched, 0 B stored in/);

  await rm(at('repository'), { recursive: true });
  const listed = (await holdfast(['points', ...target], passphrase))['points'] as {
    point: string;
    resource: string;
    copied_from: { point: string };
  }[];
  const copies = listed.filter(({ resource }) => resource === 'volumes/a');
  assert.deepEqual(
    copies.map(({ copied_from: from }) => from.point),
    points,
  );
  for (const [index, { point }] of copies.entries()) {
    await holdfast(['restore', ...target, point, '--to', at('b.raw'), '--force'], passphrase);
    assert.equal(await hashOf(at('b.raw')), hashes[index]);
  }
});

test('people get lines: a table of points, the point at the end of a backup, no objects', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: 2 * MiB, dataBytes: MiB });
  const backup = await runHoldfast(['backup', ...storage, '--resource', 'volumes/a', '--label', 'Monday', disk]);
  assert.equal(backup.code, 0, backup.stderr);
  const point = /Restore point (bkp_[0-9a-f]{32}) of volumes\/a \(full, number 1 of its series\)\n$/.exec(
    backup.stdout,
  )?.[1];
  assert.ok(point !== undefined, backup.stdout);
  const points = await runHoldfast(['points', ...storage]);
  assert.match(points.stdout, /^POINT +RESOURCE +TAKEN +KIND +SERIES +DISKS +SIZE +STORED +LABEL\n/);
  const short = /^(bkp_\w+) .*volumes\/a .* full .*Monday$/m.exec(points.stdout)?.[1];
  assert.ok(short !== undefined && point.startsWith(short), points.stdout);
  const restored = await runHoldfast(['restore', ...storage, short, '--to', at('b.raw')]);
  assert.match(restored.stdout, /^Restored vda to .*b\.raw: 2\.00 MiB in .*1\.00 MiB written, 1\.00 MiB zero\n$/);
  assert.equal(restored.stderr, '', 'no progress where nobody watches');
});

test('a reader that goes away early is no failure', async () => {
  await using made = await house();
  const { at, storage } = made;
  const disk = await makeDisk({ path: at('a.raw'), sizeBytes: MiB, dataBytes: MiB });
  const words = ['backup', ...storage, '--resource', 'volumes/a', '--json', disk].map((word) => `'${word}'`).join(' ');
  const text = await runTool('bash', '-c', `'${program}' ${words} 2>&1 | true; echo "\${PIPESTATUS[0]}"`);
  assert.equal(text, '0\n');
  assert.equal((await list(storage)).length, 1);
});
