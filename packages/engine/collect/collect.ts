/**
 * One run of a keeper's collection (ADR 0007): purge what was long enough in the trash, then find, condemn, decide, sweep.
 * It may be ended anywhere, and several keepers may run at once: whatever is open is carried on by the next run. Time
 * decides only about comfort: the trash period, and how long it waits.
 */
import { HoldfastError } from '@holdfast/base';
import { type Sleep, systemSleep } from '@holdfast/storage';
import { doesCount, type TrashState } from '../manifest/point-states.ts';
import type { Forwardings } from '../pack/forwardings.ts';
import type { Repository } from '../repository/repository.ts';
import { type CollectionState, readCollectionState } from '../session/collection-state.ts';
import { listSessions, type SessionRecord } from '../session/session.ts';
import { type Epoch, holdersOf, listEpochs, type Outcome, putEpoch, readOutcome, settleOutcome } from './epochs.ts';
import { findGarbage, type Garbage } from './find-garbage.ts';
import { describeHolders, fenceDead, type Holder, readersOfOthers, remaining } from './holders.ts';
import { removeLeftovers } from './leftovers.ts';
import { listPacks, Liveness, readForwardings } from './liveness.ts';
import type { PackCensus } from './pack-census.ts';
import { sweep } from './sweep.ts';
import { purgePoint } from './trash.ts';
import { assertWhole, Usage, type UsedPoint } from './usage.ts';

const dayMs = 24 * 3600 * 1000;
export const defaultTrashDays = 7;
export const maximumTrashDays = 30;
/** Between two looks whether the holders have ended. */
const pollMs = 1000;
/** Every writer reads the condemned list, 150 bytes a pack, twice. What is left over goes in the next run. */
const defaultMaxPacks = 50_000;

export type CollectOptions = {
  readonly repository: Repository;
  /** Where what was read is kept, so that a later run reads only what is new. */
  readonly cacheDirectory?: string | undefined;
  /** Say what would be done, and change nothing on the storage. */
  readonly dryRun?: boolean | undefined;
  /** How long deleted points can be brought back: 0 to 30, 7 when absent. */
  readonly trashDays?: number | undefined;
  /** How long to wait for sessions that began before packs were condemned; 0 when absent. */
  readonly waitMs?: number | undefined;
  /** Sessions that their owner knows to be dead. */
  readonly fence?: readonly string[] | undefined;
  readonly fenceOlderThanMs?: number | undefined;
  /** Of packs that are condemned in this run. */
  readonly maxBytes?: number | undefined;
  readonly maxPacks?: number | undefined;
  readonly acceptVanished?: boolean | undefined;
  readonly sleep?: Sleep | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type PackSum = { readonly packs: number; readonly bytes: number };

export type CollectReport = {
  /** Ids of points that were removed from the trash for good. */
  readonly purgedPoints: readonly string[];
  /** Ids of points that never counted, whose manifests were removed. */
  readonly voidPoints: readonly string[];
  readonly stored: PackSum;
  /** Condemned in this run. */
  readonly condemned: PackSum;
  /** Deleted in this run, whoever condemned them. */
  readonly deleted: PackSum;
  /** Condemned packs that were used again before they were decided about. */
  readonly takenBack: number;
  /** Garbage that the limits left for the next run. */
  readonly left: PackSum;
  /** Epochs that wait for `heldBackBy`; the next run carries them on. */
  readonly openEpochs: readonly string[];
  readonly heldBackBy: readonly Holder[];
  /** Sessions that this run ended. */
  readonly fencedSessions: readonly string[];
  /** Objects of crashed writers and keepers, beside packs. */
  readonly leftovers: number;
};

/**
 * @throws usage, collect_refused, manifest_vanished, repository_damaged, storage errors. Nothing is deleted unless all
 * that is in use could be seen.
 */
export async function collect(options: CollectOptions): Promise<CollectReport> {
  checkOptions(options);
  await using usage = await Usage.open(options);
  return await new Run(options, usage).run();
}

function checkOptions(options: CollectOptions): void {
  const { repository, trashDays = defaultTrashDays, acceptVanished = false, dryRun = false } = options;
  if (!Number.isInteger(trashDays) || trashDays < 0 || trashDays > maximumTrashDays) {
    throw new HoldfastError('usage', `A trash period of ${trashDays} days is not between 0 and ${maximumTrashDays}.`);
  }
  if (acceptVanished && dryRun) {
    throw new HoldfastError('usage', 'Points that vanished are accepted for good, not for a dry run.');
  }
  const { createOnlyPut, listAfterWrite } = repository.store.capabilities;
  if (createOnlyPut && listAfterWrite) return;
  throw new HoldfastError('collect_refused', 'This storage does not say for sure what it holds, or who was first.', {
    remedy: 'Run holdfast storage check; collect on a storage that lists what was written and has create-only puts.',
  });
}

type View = {
  /** By every keeper, read before forwardings and points. */
  readonly condemned: CollectionState['condemnedPacks'];
  readonly census: PackCensus;
  readonly sessions: readonly SessionRecord[];
  readonly forwardings: Forwardings;
  readonly points: readonly UsedPoint[];
};

class Run {
  readonly #options: CollectOptions;
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #usage: Usage;
  readonly #untilMs: number;
  /** Condemned and not yet decided. */
  #open: Epoch[] = [];
  #purged: string[] = [];
  #void: string[] = [];
  #condemned: PackSum = nothing;
  /** Readers of purged points, for which decisions wait. */
  readonly #readers = new Set<string>();
  /** Ids of packs that this run has deleted, which its listing still has. */
  readonly #swept = new Set<string>();
  #deleted: PackSum = nothing;
  #takenBack = 0;
  #left: PackSum = nothing;

  constructor(options: CollectOptions, usage: Usage) {
    this.#options = options;
    this.#repository = options.repository;
    this.#signal = options.signal;
    this.#usage = usage;
    this.#untilMs = options.repository.clock.monotonicMs() + (options.waitMs ?? 0);
  }

  async run(): Promise<CollectReport> {
    const { dryRun = false, fence, fenceOlderThanMs } = this.#options;
    const repository = this.#repository;
    const signal = this.#signal;
    const fencedSessions = dryRun
      ? []
      : await fenceDead({ repository, sessionIds: fence, olderThanMs: fenceOlderThanMs, signal });
    const epochs = await listEpochs(repository, signal);
    this.#open = epochs.filter(({ packs }) => packs !== undefined);
    // Before anything is listed: what is decided by that listing must not be older than its holders' end.
    const ready = dryRun ? [] : await this.#readyEpochs();
    const view = await this.#look((trash) => this.#isDue(trash));
    const stored = storedIn(view.census);
    const counting = await this.#empty(view.points);
    await this.#decide(ready, { ...view, points: counting });
    await this.#condemn(epochs, { ...view, points: counting });
    if (!dryRun) {
      await this.#waitAndDecide();
      const heldBack = new Set<string>(this.#open.length > 0 ? this.#readers : []);
      for (const epoch of this.#open) {
        const holders = await holdersOf(repository, epoch, signal);
        for (const id of await remaining(repository, holders, signal)) heldBack.add(id);
      }
      const leftovers = await removeLeftovers({ repository, points: counting, signal });
      const heldBackBy = await describeHolders(repository, heldBack, signal);
      return { ...this.#report(stored), fencedSessions, leftovers, heldBackBy };
    }
    const sessions = new Set(view.sessions.map(({ id }) => id));
    const heldBackBy = await describeHolders(repository, sessions, signal);
    return { ...this.#report(stored), fencedSessions, leftovers: 0, heldBackBy };
  }

  #report(stored: PackSum): Omit<CollectReport, 'fencedSessions' | 'leftovers' | 'heldBackBy'> {
    return {
      purgedPoints: this.#purged,
      voidPoints: this.#void,
      stored,
      condemned: this.#condemned,
      deleted: this.#deleted,
      takenBack: this.#takenBack,
      left: this.#left,
      openEpochs: this.#open.map(({ name }) => name),
    };
  }

  /** Rule *find*: what is condemned, packs, sessions, forwardings, points, in this order. */
  async #look(mayGo: (trash: TrashState) => boolean): Promise<View> {
    const repository = this.#repository;
    const { condemnedPacks: condemned } = await readCollectionState(repository, this.#signal);
    const census = await listPacks(repository, this.#signal);
    for (const { packs = [] } of this.#open) {
      for (const { pack, kind } of packs) census.add({ packId: pack, kind, sizeBytes: undefined });
    }
    const sessions = await listSessions(repository, this.#signal);
    const forwardings = await readForwardings(repository, census, this.#signal);
    const points = await this.#usage.look(mayGo);
    return { condemned, census, sessions, forwardings, points };
  }

  #isDue({ tomb }: TrashState): boolean {
    const { trashDays = defaultTrashDays } = this.#options;
    return tomb?.state === 'deleted' && this.#repository.clock.nowMs() - Date.parse(tomb.at) >= trashDays * dayMs;
  }

  /** Rule *trash*: purges what is due, finishes what was being purged, removes void manifests. Answers the points that count. */
  async #empty(points: readonly UsedPoint[]): Promise<readonly UsedPoint[]> {
    const repository = this.#repository;
    const signal = this.#signal;
    const { dryRun = false } = this.#options;
    const isDue = (trash: TrashState): boolean => this.#isDue(trash);
    const counting: UsedPoint[] = [];
    for (const point of points) {
      switch (point.state) {
        case 'available':
          counting.push(point);
          break;
        case 'trashed':
        case 'purging':
          if (point.state === 'trashed' && !isDue(point.trash)) counting.push(point);
          else if (dryRun || (await purgePoint({ repository, point, isDue, signal }))) this.#purged.push(point.pointId);
          else counting.push(point);
          break;
        case 'void':
          if (!dryRun) await repository.store.delete(point.key, { signal });
          this.#void.push(point.pointId);
          break;
        default:
          point.state satisfies never;
      }
    }
    assertWhole(counting.filter(({ isWhole }) => !isWhole));
    return counting;
  }

  async #liveness({ condemned, census, forwardings, points }: View): Promise<Liveness> {
    const used = await this.#usage.slotsOf(points, census);
    const isStaying = (ordinal: number) => {
      const packId = census.idOf(ordinal);
      return census.isListed(ordinal) && !condemned.has(packId) && !this.#swept.has(packId);
    };
    const isCut = (packId: string) => condemned.get(packId)?.moved === false;
    return await Liveness.of({ census, used, forwardings, isStaying, isCut });
  }

  /** Epochs of which no holder is left, and no reader for which a decision had to wait. */
  async #readyEpochs(): Promise<Epoch[]> {
    const ready: Epoch[] = [];
    const readers = await remaining(this.#repository, this.#readers, this.#signal);
    for (const epoch of this.#open) {
      if (!epoch.hasOutcome && readers.size > 0) continue;
      const holders = epoch.hasOutcome ? [] : await holdersOf(this.#repository, epoch, this.#signal);
      if ((await remaining(this.#repository, holders, this.#signal)).size === 0) ready.push(epoch);
    }
    return ready;
  }

  /** Rules *decide* and *sweep*. @param view listed after the last holder had ended */
  async #decide(epochs: readonly Epoch[], view: View): Promise<void> {
    if (epochs.length === 0) return;
    const decidable = await this.#decidable(epochs, view);
    const { census } = view;
    const liveness = await this.#liveness(view);
    for (const epoch of decidable) {
      const repository = this.#repository;
      const signal = this.#signal;
      const outcome =
        (epoch.hasOutcome ? await readOutcome(repository, epoch.name, signal) : undefined) ??
        (await settleOutcome(repository, { epoch, outcome: outcomeOf(epoch, census, liveness), signal }));
      const swept = await sweep({ repository, epoch, outcome, signal });
      let { packs, bytes } = this.#deleted;
      for (const { pack } of swept) {
        const ordinal = census.findId(pack);
        if (!census.isListed(ordinal) || this.#swept.has(pack)) continue;
        this.#swept.add(pack);
        packs += 1;
        bytes += census.sizeOf(ordinal);
      }
      this.#deleted = { packs, bytes };
      this.#takenBack += outcome.taken_back.length;
      this.#open = this.#open.filter(({ name }) => name !== epoch.name);
    }
  }

  /** Rule *read*: nothing is decided while somebody reads a point that does not count any more; looked for after the points. */
  async #decidable(epochs: readonly Epoch[], { points }: View): Promise<readonly Epoch[]> {
    if (epochs.every(({ hasOutcome }) => hasOutcome)) return epochs;
    const counting = new Set(points.map(({ pointId }) => pointId));
    const readers = await readersOfOthers(this.#repository, counting, this.#signal);
    for (const id of readers) this.#readers.add(id);
    return readers.length === 0 ? epochs : epochs.filter(({ hasOutcome }) => hasOutcome);
  }

  /** Rules *find* and *condemn*. */
  async #condemn(before: readonly Epoch[], view: View): Promise<void> {
    const repository = this.#repository;
    const signal = this.#signal;
    const liveness = await this.#liveness(view);
    const { census, sessions } = view;
    const dealtWith = new Set([...view.condemned.keys(), ...this.#swept]);
    const garbage = await findGarbage({ repository, census, liveness, sessions, dealtWith, signal });
    const chosen = this.#withinLimits(garbage);
    this.#condemned = sumOf(chosen);
    const all = sumOf(garbage);
    this.#left = { packs: all.packs - this.#condemned.packs, bytes: all.bytes - this.#condemned.bytes };
    if (chosen.length === 0 || (this.#options.dryRun ?? false)) return;
    const packs = chosen.map(({ domain, pack, kind, moved }) => ({ domain, pack, kind, moved }));
    this.#open.push(await putEpoch(repository, { before, packs, signal }));
  }

  #withinLimits(garbage: readonly Garbage[]): readonly Garbage[] {
    const { maxBytes = Number.POSITIVE_INFINITY, maxPacks = defaultMaxPacks } = this.#options;
    let bytes = 0;
    return garbage.slice(0, maxPacks).filter(({ sizeBytes }) => {
      if (bytes + sizeBytes > maxBytes) return false;
      bytes += sizeBytes;
      return true;
    });
  }

  /** Rule *condemn*: waits for the holders; looks again at what is used once some epoch's have ended. */
  async #waitAndDecide(): Promise<void> {
    const { sleep = systemSleep, fence, fenceOlderThanMs } = this.#options;
    const { clock } = this.#repository;
    for (;;) {
      const ready = await this.#readyEpochs();
      if (ready.length > 0) {
        // The packs too: another keeper may have swept since what a forwarding leads to.
        const view = await this.#look(() => false);
        await this.#decide(ready, { ...view, points: view.points.filter(({ state }) => doesCount(state)) });
      }
      const leftMs = this.#untilMs - clock.monotonicMs();
      if (this.#open.length === 0 || leftMs <= 0) return;
      await sleep({ ms: Math.min(pollMs, leftMs), signal: this.#signal });
      await fenceDead({
        repository: this.#repository,
        sessionIds: fence,
        olderThanMs: fenceOlderThanMs,
        signal: this.#signal,
      });
    }
  }
}

const nothing: PackSum = { packs: 0, bytes: 0 };

function storedIn(census: PackCensus): PackSum {
  let packs = 0;
  let bytes = 0;
  for (let ordinal = 0; ordinal < census.count; ordinal += 1) {
    if (census.isListed(ordinal)) packs += 1;
    bytes += census.sizeOf(ordinal);
  }
  return { packs, bytes };
}

function sumOf(garbage: readonly Garbage[]): PackSum {
  return { packs: garbage.length, bytes: garbage.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

/** What is used is taken back, and what was condemned as unused and is needed as a forwarding now. */
function outcomeOf(epoch: Epoch, census: PackCensus, liveness: Liveness): Outcome {
  const deleted: string[] = [];
  const takenBack: string[] = [];
  for (const { pack, moved } of epoch.packs ?? []) {
    const standing = liveness.standingOf(census.findId(pack));
    const goes = standing === 'unused' || (standing === 'moved' && moved);
    (goes ? deleted : takenBack).push(pack);
  }
  return { deleted, taken_back: takenBack };
}
