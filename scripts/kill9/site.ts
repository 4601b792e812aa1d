/** Where one run takes place: a repository, another one for copies, machines with disks, and the book of points. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dice } from './dice.ts';
import { HoldfastProcess, type Environment, type Run } from './holdfast-process.ts';
import { type DiskFormat, MachineDisk } from './machine-disk.ts';
import { Machine } from './machine.ts';
import { Place } from './place.ts';
import { BrokenPromise, PointBook, type PointRecord, Possible } from './point-book.ts';

/** What a command does, prepared so that it can be run to its end or be killed. */
export type Deed = {
  readonly words: readonly string[];
  readonly environment?: Environment;
  /** Folders whose changes time the kill. */
  readonly watched: readonly string[];
  /** Codes with which it may refuse when another command works beside it. */
  readonly refusals: readonly string[];
  /** What it may have made of points. */
  readonly note?: (possible: Possible, run: Run) => void;
  /** Before anything is looked at: what stays half done until somebody carries on does not stay. */
  readonly recover?: (run: Run) => Promise<void>;
  /** Once it is known which points there are. */
  readonly settle?: (run: Run) => Promise<void>;
};

const chunkSizes = ['64K', '256K'] as const;

const machinePlans: readonly { resource: string; disks: readonly [string, DiskFormat, number][] }[] = [
  {
    resource: 'instances/m',
    disks: [
      ['vda', 'qcow2', 4 * 1024 * 1024],
      ['vdb', 'raw', 3 * 1024 * 1024 + 12_345],
    ],
  },
  { resource: 'volumes/a', disks: [['vda', 'raw', 5 * 1024 * 1024]] },
  { resource: 'volumes/b', disks: [['vda', 'qcow2', 3 * 1024 * 1024]] },
];

export class Site {
  readonly directory: string;
  readonly dice: Dice;
  readonly place: Place;
  readonly target: Place;
  readonly machines: readonly Machine[];
  readonly book = new PointBook();
  /** Ids of points of which a copy was seen. */
  readonly copied = new Set<string>();
  /** What was run, for the reader of a failure. */
  readonly history: string[] = [];
  #names = 0;

  private constructor(made: Pick<Site, 'directory' | 'dice' | 'place' | 'target' | 'machines'>) {
    this.directory = made.directory;
    this.dice = made.dice;
    this.place = made.place;
    this.target = made.target;
    this.machines = made.machines;
  }

  /** @param options.directory not there yet */
  static async create(options: {
    readonly directory: string;
    readonly dice: Dice;
    readonly encrypted: boolean;
  }): Promise<Site> {
    const { directory, dice, encrypted } = options;
    for (const folder of ['', 'disks', 'restored', 'tmp', 'cache']) await mkdir(join(directory, folder));
    const machines: Machine[] = [];
    for (const { resource, disks: plans } of machinePlans) {
      const disks: MachineDisk[] = [];
      for (const [name, format, sizeBytes] of plans) {
        const path = join(directory, 'disks', `${resource.replace('/', '-')}-${name}.${format}`);
        disks.push(await MachineDisk.create({ name, path, format, sizeBytes }));
      }
      machines.push(new Machine({ resource, disks, directory: join(directory, 'disks') }));
    }
    const placeOf = (name: string, isEncrypted: boolean) =>
      new Place({ directory: join(directory, name), passphrase: isEncrypted ? `${name} 1` : undefined });
    const place = placeOf('repository', encrypted);
    const target = placeOf('copies', !encrypted);
    const site = new Site({ directory, dice, place, target, machines });
    const size = ['--chunk-size', dice.pick(chunkSizes)];
    for (const { url, passphrase } of [place, target]) {
      const encrypt = passphrase === undefined ? [] : ['--encrypt'];
      const environment = { HOLDFAST_PASSPHRASE: passphrase ?? '' };
      await site.run({ words: ['repo', 'init', '--storage', url, ...size, ...encrypt], environment });
    }
    return site;
  }

  /** Never the same again. */
  newName(prefix: string): string {
    this.#names += 1;
    return `${prefix}-${this.#names}`;
  }

  start(deed: Pick<Deed, 'words' | 'environment'>): HoldfastProcess {
    const environment = {
      HOLDFAST_PASSPHRASE: this.place.passphrase ?? '',
      HOLDFAST_TO_PASSPHRASE: this.target.passphrase ?? '',
      TMPDIR: join(this.directory, 'tmp'),
      XDG_CACHE_HOME: join(this.directory, 'cache'),
      ...deed.environment,
    };
    return HoldfastProcess.start({ words: deed.words, environment });
  }

  /** Its end. @throws BrokenPromise unless it is a good one, or one of these codes */
  async run(deed: Pick<Deed, 'words' | 'environment'>, codes: readonly string[] = []): Promise<Run> {
    const run = await this.start(deed).ended;
    this.history.push(describeRun(run));
    if (run.outcome === 'done' || (run.code !== undefined && codes.includes(run.code))) return run;
    throw new BrokenPromise(`${describeRun(run)}, although nothing was in its way.\n${run.printed}`);
  }

  /** Runs a deed to its end, and takes note of what it did. */
  async complete(deed: Deed): Promise<void> {
    const run = await this.run(deed);
    await this.learn([{ deed, run }]);
  }

  /** Looks at the points after these commands have ended. @throws BrokenPromise */
  async learn(ended: readonly { readonly deed: Deed; readonly run: Run }[]): Promise<void> {
    for (const { deed, run } of ended) await deed.recover?.(run);
    const possible = new Possible();
    for (const { deed, run } of ended) deed.note?.(possible, run);
    this.book.learn(await this.place.look(), possible);
    for (const { deed, run } of ended) await deed.settle?.(run);
  }

  /** Everything restores. Answers the number of points. @throws BrokenPromise */
  async provePoints(): Promise<number> {
    return await this.place.proveContents(({ label }) => this.book.labelled(label)?.disks);
  }

  /** As do the copies. @throws BrokenPromise */
  async proveCopies(): Promise<number> {
    return await this.target.proveContents(({ copiedFrom }) => this.book.withId(copiedFrom ?? '')?.disks);
  }

  /** Points of machines that others can do without: all but the newest of each. */
  spare(): readonly PointRecord[] {
    return [...this.machines.map(({ resource }) => resource), importedResource].flatMap((resource) =>
      this.book.all('available', resource).slice(0, -1),
    );
  }
}

export const importedResource = 'volumes/imported';

export function describeRun({ words, outcome, code, durationMs }: Run): string {
  const how = code === undefined ? outcome : `${outcome} (${code})`;
  return `holdfast ${words.join(' ')}: ${how} after ${Math.round(durationMs)} ms`;
}
