/**
 * How much slower a backup is while a keeper collects and compacts the same repository. Every run begins with the same
 * repository: two thirds of its content are of a point that was deleted, spread over all its packs.
 */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, GiB, MiB } from '@holdfast/base';
import { backup, initRepository, openRepository } from '@holdfast/engine';
import { choosePoints, collect, deletePoints } from '@holdfast/engine/care';
import { LocalStore } from '@holdfast/storage';
import { spreadOf } from '../contest/summary.ts';
import { run } from '../process/run.ts';
import { holdfastCommand, resultOf, timedHoldfast } from '../process/holdfast.ts';
import { MixedDisk } from './mixed-disk.ts';
import { figure } from '../promise/figure.ts';
import type { CareGround, CareTrial } from './trial.ts';

const repositoryDiskBytes = 4 * GiB;
const imageBytes = 2 * GiB;

export const beside: CareTrial = {
  id: 'beside',
  title: 'a full backup beside collect and compact, against one alone',
  run: async (ground) => {
    const { dir, scale, rounds, note, signal } = ground;
    const start = join(dir, 'start');
    await makeSparse(start, Math.ceil((repositoryDiskBytes * scale) / MiB) * MiB);
    const image = join(dir, 'image.raw');
    await writeImage(image, Math.ceil((imageBytes * scale) / MiB) * MiB);
    const walls = { alone: [] as number[], beside: [] as number[] };
    for (let round = 0; round < rounds; round += 1) {
      for (const how of round % 2 === 0 ? (['alone', 'beside'] as const) : (['beside', 'alone'] as const)) {
        const repository = join(dir, 'repository');
        // Objects are never written again, so links to them are as good as copies.
        await run({ command: ['cp', '--archive', '--link', start, repository], signal });
        await run({ command: ['sh', '-c', 'cat "$1" | tail -c 0; sync --file-system "$1"', 'sh', image], signal });
        const keeper = how === 'beside' ? startKeeper(ground, repository) : undefined;
        const words = ['backup', '--resource', 'volumes/bench', image];
        const { usage } = await timedHoldfast({ repository, words, caches: join(dir, 'caches'), signal });
        const kept = await keeper?.end();
        walls[how].push(usage.wallMs);
        note(
          `round ${round + 1} ${how}: ${(usage.wallMs / 1000).toFixed(2)} s${kept === undefined ? '' : `; ${kept}`}`,
        );
        await rm(repository, { recursive: true });
        // A keeper remembers points: in the next round this one's would be gone without having been deleted.
        await rm(join(dir, 'keeper-caches'), { recursive: true, force: true });
      }
    }
    const [alone, besides] = [spreadOf(walls.alone).median, spreadOf(walls.beside).median];
    const shown = `${(besides / 1000).toFixed(2)} s / ${(alone / 1000).toFixed(2)} s`;
    return [
      figure({
        title: 'backup beside collect and compact / alone',
        shown,
        value: besides / alone,
        limit: { atMost: 1.3 },
        unit: 'x',
      }),
    ];
  },
};

/** Of every three neighbouring MiB only one is of the point that is left, so that packs are sparse all over. */
async function makeSparse(directory: string, sizeBytes: number): Promise<void> {
  await using store = await LocalStore.open({ directory, create: true });
  await initRepository({ store });
  const repository = await openRepository({ store });
  const disk = new MixedDisk({ label: 'beside', sizeBytes });
  const resource = 'volumes/sparse';
  await using source = disk.source();
  const { point } = await backup({ repository, resource, disks: [{ name: 'vda', source }] });
  const changed = [];
  for (let offset = 0; offset < sizeBytes; offset += 3 * MiB) {
    const extent = { offset, length: Math.min(2 * MiB, sizeBytes - offset) };
    disk.write(extent);
    changed.push(extent);
  }
  await using later = disk.source();
  await backup({ repository, resource, parent: point, disks: [{ name: 'vda', source: later, changed }] });
  const words = [point.manifest.id];
  await deletePoints({ repository, points: await choosePoints({ repository, words, state: 'available' }) });
  await collect({ repository, trashDays: 0 });
}

async function writeImage(path: string, sizeBytes: number): Promise<void> {
  const disk = new MixedDisk({ label: 'beside image', sizeBytes });
  const buffer = Buffer.allocUnsafe(MiB);
  await using image = await open(path, 'w');
  for (let offset = 0; offset < sizeBytes; offset += MiB) {
    disk.fill(buffer, offset);
    await image.write(buffer, 0, MiB, offset);
  }
}

/** Compacts and collects until it is told to end, as soon as what it is at is done. */
function startKeeper(ground: CareGround, repository: string): { readonly end: () => Promise<string> } {
  const { dir, signal } = ground;
  let ended = false;
  let runs = 0;
  let copiedBytes = 0;
  const work = (async () => {
    while (!ended) {
      for (const words of [['compact'], ['collect', '--trash-days', '0']]) {
        const request = holdfastCommand({ repository, words, caches: join(dir, 'keeper-caches'), signal });
        copiedBytes += Number(resultOf(await run(request))['copied_bytes'] ?? 0);
        runs += 1;
      }
    }
  })();
  // Told by `end`; an error must not end the process before.
  work.catch(() => undefined);
  return {
    end: async () => {
      ended = true;
      await work;
      return `the keeper ran ${runs} times and copied ${formatBytes(copiedBytes)}`;
    },
  };
}
