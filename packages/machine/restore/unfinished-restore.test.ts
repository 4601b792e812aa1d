import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import type { RestorePlan } from './restore-plan.ts';
import { type PlanUse, UnfinishedRestore } from './unfinished-restore.ts';

const uuid = '7af0ba8b-19c0-4be7-a3e0-f7d7ffc527ee';

function planIn(directory: string, changes: Partial<RestorePlan> = {}): RestorePlan {
  return {
    kind: 'new',
    repository: '11111111-2222-4333-8444-555555555555',
    point: 'bkp_1',
    name: 'web',
    uuid,
    disks: [{ name: 'vda', format: 'raw', path: join(directory, 'web-vda.raw') }],
    nvram: join(directory, 'web_VARS.fd'),
    tpm: null,
    replaced: [],
    ...changes,
  };
}

const open = async (directory: string, plan: RestorePlan, use: PlanUse = 'none') =>
  await UnfinishedRestore.open({ directory, plan, useOf: () => use });

/** As after a kill: the note and what it names lie there. */
async function killedRun(directory: string, plan: RestorePlan): Promise<void> {
  await using unfinished = await open(directory, plan);
  await unfinished.begin();
  await writeFile(plan.disks[0]!.path, 'half');
  unfinished.leaveEverything();
}

test('a failure removes what was made, and the note; before it began, nothing', async () => {
  await using made = await temporaryDirectory();
  const plan = planIn(made.path);
  await writeFile(join(made.path, 'other'), 'stays');
  {
    await using unfinished = await open(made.path, plan);
    assert.equal(unfinished.stage, 'new');
    await unfinished.begin();
    await writeFile(plan.disks[0]!.path, 'half');
    await writeFile(plan.nvram!, 'half');
  }
  assert.deepEqual(await readdir(made.path), ['other']);
  await writeFile(plan.disks[0]!.path, 'of somebody');
  {
    await using unfinished = await open(made.path, plan);
    await assert.rejects(unfinished.begin(), (error) => hasCode(error, 'target_exists'));
  }
  assert.equal(await readFile(plan.disks[0]!.path, 'utf8'), 'of somebody');
  assert.deepEqual((await readdir(made.path)).toSorted(), ['other', 'web-vda.raw']);
});

test('what is finished stays, without a note', async () => {
  await using made = await temporaryDirectory();
  const plan = planIn(made.path);
  {
    await using unfinished = await open(made.path, plan);
    await unfinished.begin();
    await writeFile(plan.disks[0]!.path, 'whole');
    await unfinished.finish();
  }
  assert.deepEqual(await readdir(made.path), ['web-vda.raw']);
});

test('after a kill the same restore goes on as it was planned then', async () => {
  await using made = await temporaryDirectory();
  const plan = planIn(made.path);
  await killedRun(made.path, plan);
  const later = planIn(made.path, { uuid: '11111111-2222-4333-8444-666666666666' });
  {
    await using unfinished = await open(made.path, later);
    assert.deepEqual([unfinished.stage, unfinished.plan], ['resumed', plan]);
    await unfinished.begin();
    unfinished.leaveEverything();
  }
  await using done = await open(made.path, later, 'all');
  assert.deepEqual([done.stage, done.plan], ['done', plan]);
  await done[Symbol.asyncDispose]();
  assert.ok(existsSync(plan.disks[0]!.path), 'what libvirt knows is never removed');
});

test('another restore there removes what a killed one began, but not what libvirt knows', async () => {
  await using made = await temporaryDirectory();
  const plan = planIn(made.path);
  await killedRun(made.path, plan);
  const other = planIn(made.path, {
    point: 'bkp_2',
    disks: [{ name: 'vda', format: 'qcow2', path: join(made.path, 'web-vda.qcow2') }],
  });
  {
    await using unfinished = await open(made.path, other);
    assert.equal(unfinished.stage, 'new');
    assert.ok(existsSync(plan.disks[0]!.path), 'it has not begun');
    await unfinished.begin();
    assert.equal(existsSync(plan.disks[0]!.path), false);
  }
  assert.deepEqual(await readdir(made.path), []);
  await killedRun(made.path, plan);
  {
    await using unfinished = await open(made.path, other, 'all');
    await unfinished.begin();
  }
  assert.deepEqual(await readdir(made.path), ['web-vda.raw']);
});

test('what a machine uses in part is neither gone on with nor removed', async () => {
  await using made = await temporaryDirectory();
  const plan = planIn(made.path);
  await killedRun(made.path, plan);
  const again = planIn(made.path, { disks: [{ name: 'vda', format: 'raw', path: join(made.path, 'web-vda-2.raw') }] });
  {
    await using unfinished = await open(made.path, again, 'some');
    assert.deepEqual([unfinished.stage, unfinished.plan], ['new', again]);
    await unfinished.begin();
    await writeFile(again.disks[0]!.path, 'half');
  }
  assert.deepEqual(await readdir(made.path), ['web-vda.raw']);
});

test('two at once, a note of another host and one that is not ours are refused', async () => {
  await using made = await temporaryDirectory();
  const plan = planIn(made.path);
  const isBusy = (error: unknown) => hasCode(error, 'vm_busy');
  {
    await using _first = await open(made.path, plan);
    await assert.rejects(open(made.path, plan), isBusy);
    await using other = await open(made.path, planIn(made.path, { name: 'db' }));
    assert.equal(other.stage, 'new');
  }
  await killedRun(made.path, plan);
  const note = join(made.path, '.web.holdfast-new');
  const document = JSON.parse(await readFile(note, 'utf8'));
  for (const text of [JSON.stringify({ ...document, host: 'elsewhere' }), '{', JSON.stringify({ version: 2 })]) {
    await writeFile(note, text);
    await assert.rejects(open(made.path, plan), isBusy);
    assert.equal(await readFile(note, 'utf8'), text);
  }
});
