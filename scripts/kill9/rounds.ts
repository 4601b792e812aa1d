/** The rounds of a run: in each a command is killed at a moment of its own, and everything is looked at. */
import { join } from 'node:path';
import { ChangeCounter } from './change-counter.ts';
import { type BesideName, besides, type DeedName, deeds } from './deeds.ts';
import type { Dice } from './dice.ts';
import type { KillScope, Run } from './holdfast-process.ts';
import { describeChanges, objectsIn } from './object-changes.ts';
import { BrokenPromise } from './point-book.ts';
import { type Deed, describeRun, Site } from './site.ts';
import { type Tally, tallyOf } from './tally.ts';

/** Rounds with one repository; then another one begins, encrypted in every other run. */
const roundsOfRepository = 50;
const roundsBetweenCollections = 20;
/** Kills in a hundred rounds, about. */
const deck: Readonly<Record<DeedName, number>> = {
  'backup (full)': 3,
  'backup (incremental)': 5,
  import: 2,
  delete: 2,
  undelete: 2,
  'collect --trash-days 0': 6,
  compact: 4,
  copy: 3,
  'verify --heal': 2,
  'key rotate': 2,
  'restore (in place)': 2,
  'restore (new)': 2,
};
/** Beside which a chunk that is lost, or a passphrase that changes, would have to be told from a fault. */
const alone: readonly DeedName[] = ['verify --heal', 'key rotate'];
const besideShare = 0.3;
const besideKillShare = 0.3;
/** Of its usual length or changes: a little more than all, so that its end is found too. */
const lastMoment = 1.05;
/** Of its usual length the part in which nothing happens yet: node starts. */
const startShare = 0.35;
/** The others are killed in the middle of changes, or this much later at most. */
const timedShare = 0.3;
const longestLagMs = 8;
/** A command that ends before its moment is tried again. */
const mostTries = 6;
/** Until a collection finds nothing more. */
const lastCollections = 4;

type Measure = { readonly durationMs: number; readonly changes: number };

export type RoundOptions = {
  readonly rounds: number;
  readonly directory: string;
  readonly dice: Dice;
  readonly tally: Tally;
  readonly tell: (line: string) => void;
};

/** What was broken, and where to look. */
export class FailedRound extends Error {
  override readonly name = 'FailedRound';
  readonly site: Site;

  constructor(site: Site, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.site = site;
  }
}

export class Rounds {
  readonly #options: RoundOptions;
  readonly #measures = new Map<DeedName, Measure>();
  #cards: DeedName[] = [];

  constructor(options: RoundOptions) {
    this.#options = options;
  }

  /** @throws FailedRound */
  async run(): Promise<void> {
    const { rounds, directory, dice, tally } = this.#options;
    for (let life = 0; tally.kills < rounds; life += 1) {
      const site = await Site.create({ directory: join(directory, `life-${life}`), dice, encrypted: life % 2 === 1 });
      try {
        await this.#live(site, Math.min(rounds, tally.kills + roundsOfRepository));
      } catch (cause) {
        throw new FailedRound(site, cause);
      }
    }
  }

  async #live(site: Site, untilKills: number): Promise<void> {
    const { tally, tell } = this.#options;
    // Something to begin with.
    for (let index = 0; index < 3; index += 1) await site.complete(await deeds['backup (full)'](site));
    while (tally.kills < untilKills) {
      const name = this.#draw();
      const told = await this.#round(site, name);
      if (told === undefined) continue;
      tell(`${tally.kills} ${told}`);
      if (tally.kills % roundsBetweenCollections === 0) await this.#collect(site);
    }
    await this.#collect(site);
    await this.#empty(site);
  }

  #draw(): DeedName {
    if (this.#cards.length === 0) {
      const names = Object.entries(deck).flatMap(([name, count]) => Array<DeedName>(count).fill(name as DeedName));
      this.#cards = this.#options.dice.shuffled(names);
    }
    return this.#cards.pop()!;
  }

  /** What was killed, if anything could be. */
  async #round(site: Site, name: DeedName): Promise<string | undefined> {
    const { tally } = this.#options;
    const mine = tallyOf(tally, name);
    for (let tries = 0; tries < mostTries; tries += 1) {
      const deed = await deeds[name](site);
      if (!deed) return undefined;
      const before = await objectsIn(deed.watched);
      const ended = await this.#runAndKill(site, name, deed);
      const [{ run }, other] = ended;
      const changes = describeChanges(before, await objectsIn(deed.watched));
      this.#assertAllowed(ended);
      site.history.push(...ended.map((one) => describeRun(one.run)), `  it had done: ${changes}`);
      if (run.outcome === 'killed') {
        // Of two commands nobody can tell which has done what.
        const phase = other ? 'beside another command' : changes;
        mine.killed += 1;
        tally.kills += 1;
        mine.phases[phase] = (mine.phases[phase] ?? 0) + 1;
      } else if (run.outcome === 'done') mine.ended += 1;
      else mine.refused += 1;
      await site.learn(ended);
      await this.#prove(site);
      if (run.outcome === 'killed') return `${name} after ${Math.round(run.durationMs)} ms: ${changes}`;
    }
    return undefined;
  }

  /** The deed first, then what ran beside it. */
  async #runAndKill(site: Site, name: DeedName, deed: Deed): Promise<readonly [Ended, ...Ended[]]> {
    const { dice, tally } = this.#options;
    const measure = this.#measures.get(name);
    const beside =
      measure && !alone.includes(name) && dice.chance(besideShare) ? await this.#chooseBeside(site) : undefined;
    using counter = new ChangeCounter(deed.watched);
    const process = site.start(deed);
    const other = beside && site.start(beside.deed);
    const timers: NodeJS.Timeout[] = [];
    if (measure) {
      const scope: KillScope = dice.pick(['group', 'command']);
      if (dice.chance(timedShare)) {
        const share = startShare + dice.share() * (lastMoment - startShare);
        timers.push(setTimeout(() => process.kill(scope), share * measure.durationMs));
      } else {
        const lagMs = dice.chance(0.5) ? 0 : dice.below(longestLagMs);
        counter.onReaching(1 + dice.below(measure.changes), () => {
          if (lagMs === 0) process.kill(scope);
          else timers.push(setTimeout(() => process.kill(scope), lagMs));
        });
      }
      if (other && dice.chance(besideKillShare)) {
        timers.push(setTimeout(() => other.kill(scope), dice.share() * lastMoment * measure.durationMs));
      }
    }
    const run = await process.ended;
    const otherRun = await other?.ended;
    for (const timer of timers) clearTimeout(timer);
    if (run.outcome === 'done' && !beside) {
      // There is not always as much to do, and the machine is not always as quick.
      const changes = Math.max(counter.count, Math.round((measure?.changes ?? 1) * 0.8));
      this.#measures.set(name, { durationMs: run.durationMs, changes });
    }
    if (!beside || !otherRun) return [{ deed, run }];
    tally.besides[beside.name] = (tally.besides[beside.name] ?? 0) + 1;
    if (otherRun.outcome === 'killed') tally.besidesKilled += 1;
    return [
      { deed, run },
      { deed: beside.deed, run: otherRun },
    ];
  }

  async #chooseBeside(site: Site): Promise<{ readonly name: BesideName; readonly deed: Deed } | undefined> {
    const name = this.#options.dice.pick(Object.keys(besides) as BesideName[]);
    const deed = await besides[name](site);
    return deed && { name, deed };
  }

  #assertAllowed(ended: readonly Ended[]): void {
    for (const { deed, run } of ended) {
      if (run.outcome !== 'failed') continue;
      if (ended.length > 1 && run.code !== undefined && deed.refusals.includes(run.code)) continue;
      throw new BrokenPromise(`${describeRun(run)}\n${run.printed}`);
    }
  }

  /** The command finds everything right, and everything restores. */
  async #prove(site: Site): Promise<void> {
    const { tally } = this.#options;
    await verify(site, site.place.url);
    tally.verifications += 1;
    tally.pointsRestored += await site.provePoints();
  }

  /** Collects until nothing is left to collect: then there is no object that nobody needs. */
  async #collect(site: Site): Promise<void> {
    await collectAll({ site, url: site.place.url, trashDays: 30 });
    await assertTidy(site, site.place.url);
    const left = await site.place.leftBehind();
    if (left.length > 0) throw new BrokenPromise(`The collection left behind ${left.join(', ')}.`);
    this.#options.tally.collections += 1;
    this.#options.tally.pointsRestored += await site.provePoints();
  }

  /** Of the copies nothing is left behind either; and when every point goes, everything goes. */
  async #empty(site: Site): Promise<void> {
    const { place, target, book } = site;
    await collectAll({ site, url: target.url, trashDays: 30, passphrase: target.passphrase });
    await verify(site, target.url, target.passphrase);
    const left = await target.leftBehind();
    if (left.length > 0) throw new BrokenPromise(`Of the copies the collection left behind ${left.join(', ')}.`);
    this.#options.tally.pointsRestored += await site.proveCopies();
    const ids = book.all('available').map(({ id }) => id!);
    if (ids.length > 0) await site.run({ words: ['delete', '--storage', place.url, ...ids] });
    await collectAll({ site, url: place.url, trashDays: 0 });
    const check = await assertTidy(site, place.url);
    const packs = [check['data_packs'], check['meta_packs']].map((sum) => (sum as { count: number }).count);
    if (packs.some((count) => count > 0)) throw new BrokenPromise('Packs are left of a repository without points.');
  }
}

type Ended = { readonly deed: Deed; readonly run: Run };

async function verify(site: Site, url: string, passphrase = site.place.passphrase): Promise<void> {
  const environment = { HOLDFAST_PASSPHRASE: passphrase ?? '' };
  const { result = {} } = await site.run({ words: ['verify', '--storage', url], environment });
  const { missing, damaged } = result['packs'] as { missing: number; damaged: number };
  const points = result['points'] as { point: string; ok: boolean; checked: boolean }[];
  const unproved = points.filter(({ ok, checked }) => !ok || !checked);
  if (missing + damaged + unproved.length > 0) {
    throw new BrokenPromise(
      `verify: ${missing} packs missing, ${damaged} damaged, not proved: ${JSON.stringify(unproved)}`,
    );
  }
}

async function collectAll(request: {
  readonly site: Site;
  readonly url: string;
  readonly trashDays: number;
  readonly passphrase?: string | undefined;
}): Promise<void> {
  const { site, url, trashDays, passphrase = site.place.passphrase } = request;
  const environment = { HOLDFAST_PASSPHRASE: passphrase ?? '' };
  for (let run = 1; ; run += 1) {
    const words = ['collect', '--storage', url, '--trash-days', String(trashDays)];
    const { result = {} } = await site.run({ words, environment });
    const { packs: condemned } = result['condemned'] as { packs: number };
    const { packs: deleted } = result['deleted'] as { packs: number };
    if (condemned + deleted === 0) return;
    if (run === lastCollections) throw new BrokenPromise(`Collection ${run} still finds ${condemned + deleted} packs.`);
  }
}

/** What `repo check` says. */
async function assertTidy(site: Site, url: string): Promise<Readonly<Record<string, unknown>>> {
  const { result = {} } = await site.run({ words: ['repo', 'check', '--storage', url] });
  const orphaned = result['packs_orphaned'] as { packs: number } | null;
  const lists = ['sessions', 'condemned', 'packs_in_the_making', 'missing_packs'].map((name) => result[name]);
  const isTidy = orphaned?.packs === 0 && lists.every((list) => Array.isArray(list) && list.length === 0);
  if (!isTidy) throw new BrokenPromise(`After a collection there is still: ${JSON.stringify(result)}`);
  return result;
}
