/**
 * Four months of daily backups of one disk under a retention policy, with the whole care of the repository every day: delete
 * what the policy lets go, collect, compact, collect. How much more than the live frames lies on the storage?
 *
 * A model of 1 : 16: a disk of 1 GiB in packs of 2 MiB stands for 16 GiB in packs of 32 MiB.
 */
import { join } from 'node:path';
import { type Clock, type Extent, formatBytes, GiB, MiB } from '@holdfast/base';
import { backup, initRepository, openRepository, type Repository, type RestorePoint } from '@holdfast/engine';
import { choosePoints, collect, compact, deletePoints, verifyRepository } from '@holdfast/engine/care';
import { LocalStore } from '@holdfast/storage';
import { Forwardings, type SlotPlace } from '../../packages/engine/pack/forwardings.ts';
import { readPackDirectory } from '../../packages/engine/pack/pack-directory.ts';
import { type PackKind, packIdOf, packKey, packsPrefix } from '../../packages/engine/repository/layout.ts';
import { slotsOfPoint } from '../../packages/engine/verify/point-packs.ts';
import { createKeystream } from '../image/keystream.ts';
import { granuleBytes, MixedDisk } from './mixed-disk.ts';
import { figure } from '../promise/figure.ts';
import type { CareTrial } from './trial.ts';

const days = 120;
const diskBytes = GiB;
const chunkBytes = MiB / 4;
const packBytes = 2 * MiB;
const changedShare = 0.02;
const runBytes = MiB;
const dayMs = 24 * 3600 * 1000;
const startMs = Date.UTC(2026, 0, 1, 3);

type Kept = { readonly day: number; readonly point: RestorePoint };

export const ageing: CareTrial = {
  id: 'ageing',
  title: `${days} daily points, 2 % changed a day, 7 daily, 4 weekly, 6 monthly kept`,
  run: async ({ dir, scale, note, signal }) => {
    const directory = join(dir, 'repository');
    await using store = await LocalStore.open({ directory, create: true });
    await initRepository({ store, chunkBytes });
    let day = 0;
    const clock: Clock = { nowMs: () => startMs + day * dayMs, monotonicMs: () => performance.now() };
    const opened = await openRepository({ store, clock });
    const defaults = { ...opened.configuration.defaults, pack_bytes: packBytes };
    const repository: Repository = { ...opened, configuration: { ...opened.configuration, defaults } };
    const disk = new MixedDisk({ label: 'ageing', sizeBytes: Math.ceil((diskBytes * scale) / runBytes) * runBytes });
    const changes = createKeystream('ageing changes');
    let kept: Kept[] = [];
    let copiedBytes = 0;
    let worst = 0;
    let last = { storedBytes: 0, liveBytes: 0 };
    for (day = 0; day < days; day += 1) {
      signal.throwIfAborted();
      const changed = day === 0 ? undefined : changeDisk(disk, changes);
      await using source = disk.source();
      const { point } = await backup({
        repository,
        resource: 'volumes/aged',
        parent: kept.at(-1)?.point,
        disks: [{ name: 'vda', source, changed }],
        signal,
      });
      kept.push({ day, point });
      const gone = kept.filter((one) => !isKept(one.day, day));
      kept = kept.filter((one) => isKept(one.day, day));
      await remove(repository, gone);
      const cacheDirectory = join(dir, 'keeper');
      await collect({ repository, trashDays: 0, cacheDirectory, signal });
      copiedBytes += (await compact({ repository, cacheDirectory, signal })).copiedBytes;
      await collect({ repository, trashDays: 0, cacheDirectory, signal });
      if (day % 10 !== 9) continue;
      last = await measure(repository, kept);
      const ratio = last.storedBytes / last.liveBytes;
      worst = Math.max(worst, ratio);
      note(
        `day ${day + 1}: ${kept.length} points, ${formatBytes(last.storedBytes)} stored, ${formatBytes(last.liveBytes)} live: ` +
          `${ratio.toFixed(3)}; copied so far ${formatBytes(copiedBytes)}`,
      );
    }
    const report = await verifyRepository({ repository, scope: 'scrub', signal });
    if (report.points.length !== kept.length || !report.points.every(({ ok }) => ok)) {
      throw new Error(`Points were lost on the way: ${JSON.stringify(report.points)}`);
    }
    const shown = `${formatBytes(last.storedBytes)} / ${formatBytes(last.liveBytes)}`;
    const value = last.storedBytes / last.liveBytes;
    const worstShown = 'every tenth day';
    return [
      figure({ title: 'stored / live, at the end', shown, value, limit: { atMost: 1.25 }, unit: 'x' }),
      figure({
        title: 'stored / live, at its worst',
        shown: worstShown,
        value: worst,
        limit: { atMost: 1.25 },
        unit: 'x',
      }),
    ];
  },
};

/** Half in single granules, half in runs of 1 MiB, at random places. */
function changeDisk(disk: MixedDisk, changes: ReturnType<typeof createKeystream>): Extent[] {
  const extents: Extent[] = [];
  const bytes = disk.sizeBytes * changedShare;
  for (let left = bytes / 2; left > 0; left -= granuleBytes) {
    extents.push({ offset: changes.below(disk.granules) * granuleBytes, length: granuleBytes });
  }
  for (let left = bytes / 2; left > 0; left -= runBytes) {
    extents.push({ offset: changes.below(disk.sizeBytes / runBytes) * runBytes, length: runBytes });
  }
  for (const extent of extents) disk.write(extent);
  return extents.sort((a, b) => a.offset - b.offset);
}

/** The last 7 days, every seventh of the last 4 weeks, every thirtieth of the last 6 months. */
function isKept(day: number, today: number): boolean {
  const age = today - day;
  return age < 7 || (day % 7 === 0 && age < 28) || (day % 30 === 0 && age < 180);
}

async function remove(repository: Repository, gone: readonly Kept[]): Promise<void> {
  if (gone.length === 0) return;
  const words = gone.map(({ point }) => point.manifest.id);
  await deletePoints({ repository, points: await choosePoints({ repository, words, state: 'available' }) });
}

/** Packs as listed, and the frames that kept points use, each once, where it is now. */
async function measure(
  repository: Repository,
  kept: readonly Kept[],
): Promise<{ readonly storedBytes: number; readonly liveBytes: number }> {
  const { store, domain } = repository;
  const packs = new Map<string, PackKind>();
  let storedBytes = 0;
  for (const kind of ['data', 'meta'] as const) {
    for await (const { key, sizeBytes } of store.list(packsPrefix(domain, kind))) {
      packs.set(packIdOf(key), kind);
      storedBytes += sizeBytes;
    }
  }
  const forwardings = new Forwardings(repository);
  const live = new Map<string, Set<number>>();
  for (const { point } of kept) {
    for await (const { packId, slots } of slotsOfPoint(repository, point.manifest)) {
      for (const slot of slots) {
        let place: SlotPlace = { packId, slot };
        for await (const next of forwardings.chain(place)) {
          if (packs.has(place.packId)) break;
          place = next;
        }
        const used = live.get(place.packId) ?? new Set();
        live.set(place.packId, used.add(place.slot));
      }
    }
  }
  let liveBytes = 0;
  for (const [packId, slots] of live) {
    const key = packKey({ domain, kind: packs.get(packId) ?? 'data', packId });
    const directory = await readPackDirectory({ store, key, packId });
    for (const slot of slots) liveBytes += directory[slot]?.storedBytes ?? 0;
  }
  return { storedBytes, liveBytes };
}
