/** A few rounds of kill -9, and that a run sees what it is there to see. */
import assert from 'node:assert/strict';
import { cp, glob, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../packages/testing/index.ts';
import { deeds } from './deeds.ts';
import { Dice } from './dice.ts';
import { BrokenPromise } from './point-book.ts';
import { Rounds } from './rounds.ts';
import { Site } from './site.ts';
import { emptyTally } from './tally.ts';

test('commands are killed at random moments: what they had promised is there, and nothing is left behind', async (t) => {
  await using directory = await temporaryDirectory();
  const tally = emptyTally();
  const seed = Math.floor(Date.now() / 1000);
  t.diagnostic(`seed ${seed}`);
  await new Rounds({
    rounds: 3,
    directory: directory.path,
    dice: new Dice(seed),
    tally,
    tell: (line) => t.diagnostic(line),
  }).run();
  assert.equal(tally.kills, 3);
  assert.ok(tally.pointsRestored >= 3 * 3);
});

test('a point without its pack, other content than the book has, and an orphan are found', async () => {
  await using directory = await temporaryDirectory();
  const dice = new Dice(1);
  const site = await Site.create({ directory: join(directory.path, 'site'), dice, encrypted: false });
  await site.complete(await deeds['backup (full)'](site));
  assert.equal(await site.provePoints(), 1);
  assert.deepEqual(await site.place.leftBehind(), []);

  const other = new Map([['vda', { sizeBytes: 0, sha256: '' }]]);
  await assert.rejects(
    site.place.proveContents(({ label }) => new Map([...site.book.labelled(label)!.disks, ...other])),
    BrokenPromise,
  );

  const run = await site.run({
    words: ['delete', '--storage', site.place.url, ...site.book.all('available').map(({ id }) => id!)],
  });
  await assert.rejects(site.learn([{ deed: { words: run.words, watched: [], refusals: [] }, run }]), /is trashed/);
  await rm(join(site.place.directory, 'd/default/tomb'), { recursive: true });

  const [pack] = await Array.fromAsync(glob(`${site.place.directory}/d/default/data/*/*`));
  await cp(
    pack!,
    pack!.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')),
  );
  assert.equal((await site.place.leftBehind()).length, 1);
  await rm(pack!);
  await assert.rejects(site.provePoints(), BrokenPromise);
});
