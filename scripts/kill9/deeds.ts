/** The commands of a run, each with what it may have done by the time it is killed. */
import { glob, open, stat } from 'node:fs/promises';
import type { Run } from './holdfast-process.ts';
import { BrokenPromise, type PointRecord, type Possible } from './point-book.ts';
import { restoreBeside, restoreInPlace } from './restore-deeds.ts';
import { type Deed, importedResource, type Site } from './site.ts';

/** Points of one resource at a time. */
const mostPoints = 4;

/** Undefined when there is nothing that it could be done to. */
type MakeDeed = (site: Site) => Promise<Deed | undefined>;

export const deeds = {
  'backup (full)': async (site) => await backup({ site, isIncremental: false }),
  'backup (incremental)': async (site) => await backup({ site, isIncremental: true }),
  import: importImage,
  delete: async (site) => deletion(site, site.dice.shuffled(site.spare()).slice(0, 1 + site.dice.below(2))),
  undelete: undeletion,
  'collect --trash-days 0': collection,
  compact: compaction,
  copy,
  'verify --heal': healing,
  'key rotate': rotation,
  'restore (in place)': restoreInPlace,
  'restore (new)': restoreBeside,
} as const satisfies Record<string, MakeDeed>;

export type DeedName = keyof typeof deeds;

/** What runs beside another command, and loses nothing by it. */
export const besides = {
  backup: async (site: Site) => await backup({ site, isIncremental: site.dice.chance(0.5) }),
  verify: async (site: Site) => plain(site, ['verify']),
  points: async (site: Site) => plain(site, ['points']),
  'repo check': async (site: Site) => plain(site, ['repo', 'check']),
  'collect --trash-days 30': async (site: Site) => plain(site, ['collect', '--trash-days', '30']),
  compact: async (site: Site) => plain(site, ['compact', '--threshold', '95']),
  restore: restoreBeside,
} as const;

export type BesideName = keyof typeof besides;

function plain(site: Site, [...words]: readonly string[], refusals = ['collect_refused']): Deed {
  return { words: [...words, '--storage', site.place.url], watched: [site.place.directory], refusals };
}

export async function backup(request: {
  readonly site: Site;
  readonly isIncremental: boolean;
  /** The machine's disks stay as they are, and it is this one. */
  readonly unchanged?: Site['machines'][number];
}): Promise<Deed> {
  const { site, isIncremental, unchanged } = request;
  // A machine is backed up by one command at a time: its disks change between.
  const machine = unchanged ?? site.dice.pick(site.machines.filter(({ isBusy }) => !isBusy));
  await trim(site, machine.resource);
  if (!unchanged) await machine.change(site.dice);
  const label = site.newName('backup');
  const isAvailable = (pointId: string) => site.book.withId(pointId)?.state === 'available';
  const prepared = await machine.prepareBackup({ name: label, isIncremental, isAvailable });
  const record = site.book.expect({ label, resource: machine.resource, disks: prepared.contents });
  return {
    words: ['backup', '--storage', site.place.url, '--label', label, ...prepared.words],
    watched: [site.place.directory],
    refusals: ['resource_busy', 'pack_condemned', 'point_not_found'],
    note: (possible, run) => appears(possible, run, record),
    settle: async () => await prepared.settle(record.state === 'available' ? record.id : undefined),
  };
}

async function importImage(site: Site): Promise<Deed> {
  await trim(site, importedResource);
  const { disks } = site.dice.pick(site.machines);
  const disk = site.dice.pick(disks);
  const label = site.newName('import');
  const record = site.book.expect({ label, resource: importedResource, disks: new Map([['vda', disk.content]]) });
  const words = ['import', '--storage', site.place.url, '--resource', importedResource, '--label', label, disk.path];
  return {
    words,
    watched: [site.place.directory],
    refusals: ['resource_busy', 'pack_condemned'],
    note: (possible, run) => appears(possible, run, record),
  };
}

/** The oldest goes where there are many. */
async function trim(site: Site, resource: string): Promise<void> {
  const [oldest, ...others] = site.book.all('available', resource);
  if (oldest && others.length >= mostPoints - 1) await site.complete(deletion(site, [oldest])!);
}

function appears(possible: Possible, run: Run, record: PointRecord): void {
  if (run.result) possible.must(record, 'available');
  else if (run.outcome === 'killed') possible.may(record, 'available');
}

function becomes(
  possible: Possible,
  run: Run,
  records: readonly PointRecord[],
  state: 'available' | 'trashed' | 'gone',
) {
  for (const record of records) {
    if (run.result) possible.must(record, state);
    else if (run.outcome === 'killed') possible.may(record, state);
  }
}

function deletion(site: Site, records: readonly PointRecord[]): Deed | undefined {
  if (records.length === 0) return undefined;
  return {
    words: ['delete', '--storage', site.place.url, ...records.map(({ id }) => id!)],
    watched: [site.place.directory],
    refusals: [],
    note: (possible, run) => becomes(possible, run, records, 'trashed'),
  };
}

async function undeletion(site: Site): Promise<Deed | undefined> {
  if (!(await fillTrash(site))) return undefined;
  const records = site.dice.shuffled(site.book.all('trashed')).slice(0, 1 + site.dice.below(2));
  return {
    words: ['undelete', '--storage', site.place.url, ...records.map(({ id }) => id!)],
    watched: [site.place.directory],
    refusals: [],
    note: (possible, run) => becomes(possible, run, records, 'available'),
  };
}

async function collection(site: Site): Promise<Deed | undefined> {
  await fillTrash(site);
  const records = site.book.all('trashed');
  return {
    words: ['collect', '--storage', site.place.url, '--trash-days', '0'],
    watched: [site.place.directory],
    refusals: ['collect_refused'],
    note: (possible, run) => becomes(possible, run, records, 'gone'),
  };
}

/** False when there is nothing that could be thrown away. */
async function fillTrash(site: Site): Promise<boolean> {
  if (site.book.all('trashed').length > 0) return true;
  const spare = site.spare();
  if (spare.length === 0) return false;
  await site.complete(deletion(site, [site.dice.pick(spare)])!);
  return true;
}

/** When every pack is full of what is needed, points have to go first. */
async function compaction(site: Site): Promise<Deed> {
  const deed = plain(site, ['compact', '--threshold', '95']);
  const { result = {} } = await site.run({ ...deed, words: [...deed.words, '--dry-run'] });
  if ((result['packs'] as { count: number }).count > 0) return deed;
  const spare = deletion(site, site.spare());
  if (spare) await site.complete(spare);
  await site.complete((await collection(site))!);
  return deed;
}

async function copy(site: Site): Promise<Deed | undefined> {
  const { place, target, book, copied, dice } = site;
  const missing = book.all('available').filter(({ id }) => !copied.has(id!));
  const chosen = dice.shuffled(missing).slice(0, 1 + dice.below(3));
  if (chosen.length === 0) return undefined;
  const ids = chosen.map(({ id }) => id!);
  return {
    words: ['copy', '--storage', place.url, '--to', target.url, ...ids],
    watched: [target.directory],
    refusals: [],
    settle: async (run) => {
      const promised = [...copied, ...(run.result ? ids : [])];
      const sources = (await target.look()).map(({ copiedFrom }) => copiedFrom!);
      const lost = promised.find((id) => !sources.includes(id));
      if (lost !== undefined) throw new BrokenPromise(`The copy of ${lost} is not there.`);
      for (const id of sources) {
        if (sources.indexOf(id) !== sources.lastIndexOf(id)) throw new BrokenPromise(`There are two copies of ${id}.`);
        if (!book.withId(id)) throw new BrokenPromise(`There is a copy of ${id}, which nobody has made.`);
        copied.add(id);
      }
      await site.proveCopies();
    },
  };
}

/** A byte of a machine's newest pack turns; the machine is backed up again, so that there is something to heal from. */
async function healing(site: Site): Promise<Deed | undefined> {
  const { place, dice, machines } = site;
  const deed = plain(site, ['verify', '--heal']);
  const machine = dice.pick(machines.filter(({ isBusy }) => !isBusy));
  await machine.change(dice);
  const before = await dataPacks(place.directory);
  await site.complete(await backup({ site, isIncremental: false, unchanged: machine }));
  const [pack] = (await dataPacks(place.directory)).filter((path) => !before.includes(path));
  if (pack === undefined) return undefined;
  await turnByte(pack, dice.below((await stat(pack)).size));
  await site.run(plain(site, ['verify']), ['chunk_corrupt']);
  await site.complete(await backup({ site, isIncremental: false, unchanged: machine }));
  return { ...deed, recover: async () => void (await site.run(deed)) };
}

async function dataPacks(directory: string): Promise<readonly string[]> {
  return await Array.fromAsync(glob(`${directory}/d/default/data/*/*`));
}

async function turnByte(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0]! ^= 1;
  await file.write(byte, 0, 1, offset);
}

async function rotation(site: Site): Promise<Deed | undefined> {
  const { place } = site;
  const { passphrase: old } = place;
  if (old === undefined) return undefined;
  const chosen = site.newName('passphrase');
  const deed = {
    words: ['key', 'rotate', '--storage', place.url],
    environment: { HOLDFAST_PASSPHRASE: old, HOLDFAST_NEW_PASSPHRASE: chosen },
  };
  return {
    ...deed,
    watched: [place.directory],
    refusals: [],
    recover: async () => {
      if (await place.opensWith(old)) await site.run(deed);
      if (await place.opensWith(old)) throw new BrokenPromise('After a rotation the old passphrase still opens.');
      if (!(await place.opensWith(chosen))) throw new BrokenPromise('Neither the old nor the new passphrase opens.');
      place.passphrase = chosen;
    },
  };
}
