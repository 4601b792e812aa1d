/**
 * What the points of a repository use, from manifests and pack tables alone, each read once and then known from the
 * keeper's cache. Everything must be readable: who does not see all that is used must not call anything garbage.
 */
import { HoldfastError, hasCode, runLanes } from '@holdfast/base';
import { join } from 'node:path';
import { decodeManifest, type Manifest } from '../manifest/manifest.ts';
import { doesCount, type PointState, PointStates, type TrashState } from '../manifest/point-states.ts';
import { listPointKeys, type PointKey } from '../manifest/points.ts';
import type { SlotPlace } from '../pack/forwardings.ts';
import type { FrameReference } from '../pack/frame-reader.ts';
import { parsePointKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { settledVerdictOf } from '../session/fences.ts';
import type { PackCensus } from './pack-census.ts';
import { addPage } from './page-digest.ts';
import { PageDigestReader } from './page-digest-reader.ts';
import { RecordLog } from './record-log.ts';
import { SlotSets } from './slot-sets.ts';

/** Manifests are a few KiB and pages up to 70: this many at once hide a network storage's latency. */
const readLanes = 16;

export type UsedPoint = PointKey & {
  readonly sessionId: string;
  readonly state: PointState;
  readonly trash: TrashState;
  readonly series: string | null;
  readonly incrementId: number | null;
  /** Places that the manifest names itself: map roots, guest configuration. */
  readonly direct: readonly SlotPlace[];
  /** Its pages of the pack table, by `Usage`'s own numbers. */
  readonly pages: Uint32Array;
  /** False: what it uses could not be read, and it may go. Whoever keeps it cannot collect. */
  readonly isWhole: boolean;
};

type Page = { readonly reference: FrameReference; readonly name: string };
type Known = Pick<UsedPoint, 'sessionId' | 'series' | 'incrementId' | 'direct' | 'pages'>;

export type UsageOptions = {
  readonly repository: Repository;
  /** Where what was read is kept for later runs; without it, in memory until the end. */
  readonly cacheDirectory?: string | undefined;
  /** Go on without points that are gone although nobody purged them. */
  readonly acceptVanished?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
};

export class Usage implements AsyncDisposable {
  readonly #options: UsageOptions;
  readonly #manifests: RecordLog;
  readonly #digests: RecordLog;
  readonly #pages: Page[] = [];
  readonly #pageNumbers = new Map<string, number>();
  /** By key of the manifest; what was listed last. */
  #known = new Map<string, Known>();

  private constructor(options: UsageOptions, manifests: RecordLog, digests: RecordLog) {
    this.#options = options;
    this.#manifests = manifests;
    this.#digests = digests;
  }

  static async open(options: UsageOptions): Promise<Usage> {
    const { repository, cacheDirectory } = options;
    const directory = (what: 'manifests' | 'pages') =>
      cacheDirectory && usageDirectory(repository, cacheDirectory, what);
    const manifests = await RecordLog.open(directory('manifests'));
    return new Usage(options, manifests, await RecordLog.open(directory('pages')));
  }

  /**
   * Every listed point with its state; what those that count use is known afterwards.
   * @param mayGo of points in the trash: whether one that cannot be read is no reason to refuse
   * @throws collect_refused when something cannot be read, manifest_vanished, storage errors
   */
  async look(mayGo: (trash: TrashState) => boolean): Promise<readonly UsedPoint[]> {
    const { repository, signal } = this.#options;
    const listed = await Array.fromAsync(listPointKeys({ repository, signal }));
    const states = await PointStates.read({ repository, signal });
    const trash = new Map<string, TrashState>();
    await runLanes({
      jobs: listed,
      lanes: readLanes,
      signal,
      run: async ({ key, pointId }) => void trash.set(key, await states.inTrash(pointId)),
    });
    await this.#missVanished(listed, states);
    // A point that is being purged needs no manifest that can be read.
    const counting = listed.filter(({ key }) => doesCount(trash.get(key)!.state));
    const unreadable = await this.#readManifests(counting);
    const points: UsedPoint[] = [];
    for (const point of listed) {
      const known = this.#known.get(point.key);
      const inTrash = trash.get(point.key)!;
      if (known) {
        const state = await states.stateOf({ ...known, pointId: point.pointId, state: inTrash.state });
        points.push({ ...point, ...known, state, trash: inTrash, isWhole: true });
      } else if (!doesCount(inTrash.state) || unreadable.has(point.key)) {
        const isWhole = !unreadable.has(point.key);
        points.push({ ...point, ...usesNothing, state: inTrash.state, trash: inTrash, isWhole });
      }
    }
    const torn = await this.#readPages(points.filter(({ state }) => doesCount(state)));
    const judged = points.map((point) =>
      point.pages.some((number) => torn.has(number)) ? { ...point, ...usesNothing, isWhole: false } : point,
    );
    assertWhole(
      judged.filter(({ isWhole, state, trash: inTrash }) => !isWhole && !(state === 'trashed' && mayGo(inTrash))),
    );
    return judged;
  }

  /** Slots of the packs in the census that these points use; forwardings are not followed. */
  async slotsOf(points: readonly UsedPoint[], census: PackCensus): Promise<SlotSets> {
    const used = new SlotSets(census.count);
    const add = ({ packId, slot }: SlotPlace): void => {
      const ordinal = census.findId(packId);
      if (ordinal >= 0) used.add(ordinal, slot);
    };
    const wanted = new Set<string>();
    const seen = new Uint8Array(this.#pages.length);
    for (const { direct, pages } of points) {
      for (const place of direct) add(place);
      for (const number of pages) {
        if (seen[number] === 1) continue;
        seen[number] = 1;
        const { reference, name } = this.#pages[number]!;
        add(reference.location);
        wanted.add(name);
      }
    }
    for await (const { name, content } of this.#digests.scan()) {
      if (!wanted.delete(name)) continue;
      addPage(content, census, used);
    }
    if (wanted.size > 0)
      throw new HoldfastError('internal', `${wanted.size} pages of pack tables were lost on the way.`);
    return used;
  }

  /** Keeps what later runs need. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#manifests.close(() => true);
    // Without a look nothing is known of what is still needed.
    const needed = this.#known.size === 0 ? undefined : this.#neededPages();
    await this.#digests.close((name) => needed?.has(name) ?? true);
  }

  #neededPages(): ReadonlySet<string> {
    const needed = new Set<string>();
    for (const { pages } of this.#known.values()) for (const number of pages) needed.add(this.#pages[number]!.name);
    return needed;
  }

  /** A manifest that was there once goes by a purge, or because it was void; anything else is a loss to look into. */
  async #missVanished(listed: readonly PointKey[], states: PointStates): Promise<void> {
    const { repository, acceptVanished = false, signal } = this.#options;
    const keys = new Set(listed.map(({ key }) => key));
    const gone = new Map<string, string>();
    for (const key of this.#manifests.names) {
      const pointId = parsePointKey(repository.domain, key)?.pointId;
      if (!keys.has(key) && pointId !== undefined) gone.set(key, pointId);
    }
    const vanished: string[] = [];
    for (const [key, pointId] of gone) {
      if (acceptVanished || (await states.inTrash(pointId)).state === 'purging') await this.#manifests.takeBack(key);
    }
    for await (const { name, content } of this.#manifests.scan()) {
      const pointId = gone.get(name);
      if (pointId === undefined) continue;
      const { session } = decodeManifest(name, content, repository.keys);
      const verdict = await settledVerdictOf(repository, session, signal);
      if (verdict && verdict.committed !== pointId) await this.#manifests.takeBack(name);
      else vanished.push(pointId);
    }
    if (vanished.length === 0) return;
    throw new HoldfastError(
      'manifest_vanished',
      `${vanished.length} restore points are gone that nobody deleted: ${vanished.slice(0, 3).join(', ')}.`,
      { facts: { points: vanished } },
    );
  }

  /** Answers the keys of those that could not be read. */
  async #readManifests(points: readonly PointKey[]): Promise<ReadonlySet<string>> {
    const { repository, signal } = this.#options;
    const before = this.#known;
    this.#known = new Map();
    const missing = new Map(points.map((point) => [point.key, point]));
    for (const key of missing.keys()) {
      const known = before.get(key);
      if (!known) continue;
      this.#known.set(key, known);
      missing.delete(key);
    }
    if (missing.size > 0) {
      for await (const { name, content } of this.#manifests.scan()) {
        const point = missing.get(name);
        if (!point) continue;
        this.#note(point, decodeManifest(name, content, repository.keys));
        missing.delete(name);
      }
    }
    const unreadable = new Set<string>();
    await runLanes({
      jobs: missing.values(),
      lanes: readLanes,
      signal,
      run: async (point) => {
        try {
          const content = await repository.store.get(point.key, { signal });
          this.#note(point, decodeManifest(point.key, content, repository.keys));
          await this.#manifests.add(point.key, content);
        } catch (error) {
          // Another keeper has purged it since the listing.
          if (hasCode(error, 'object_not_found')) return;
          if (!hasCode(error, 'repository_damaged', 'repository_newer')) throw error;
          unreadable.add(point.key);
        }
      },
    });
    return unreadable;
  }

  /** @throws repository_damaged when the manifest is not the one of its key */
  #note({ key, pointId, resource }: PointKey, manifest: Manifest): void {
    if (manifest.id !== pointId || manifest.resource !== resource) {
      throw new HoldfastError('repository_damaged', `Manifest ${key} is not the one of its key.`);
    }
    const guest = manifest.guest_configuration ? [manifest.guest_configuration] : [];
    const pages = manifest.table.pages.flatMap((page) => (page.kind === 'data' ? [this.#numberOf(page)] : []));
    this.#known.set(key, {
      sessionId: manifest.session,
      series: manifest.series,
      incrementId: manifest.increment_id,
      direct: [...manifest.roots, ...guest].map(({ location: { packId, slot } }) => ({ packId, slot })),
      pages: Uint32Array.from(pages),
    });
  }

  #numberOf({ id, location }: FrameReference): number {
    const name = id.toString('latin1');
    const key = `${name}${location.packId}${location.slot}`;
    let number = this.#pageNumbers.get(key);
    if (number === undefined) {
      number = this.#pages.length;
      // Not views of the whole manifest.
      this.#pages.push({ reference: { id: Buffer.from(id), location }, name });
      this.#pageNumbers.set(key, number);
    }
    return number;
  }

  /** Answers the numbers of pages that could not be read. */
  async #readPages(points: readonly UsedPoint[]): Promise<ReadonlySet<number>> {
    const { repository, signal } = this.#options;
    const wanted = new Map<string, number>();
    for (const { pages } of points) {
      for (const number of pages) {
        const { name } = this.#pages[number]!;
        if (!this.#digests.names.has(name)) wanted.set(name, number);
      }
    }
    const reader = new PageDigestReader({ repository, atOnce: readLanes });
    const unreadable = new Set<number>();
    await runLanes({
      jobs: wanted,
      lanes: readLanes,
      signal,
      run: async ([name, number]) => {
        try {
          await this.#digests.add(name, await reader.read(this.#pages[number]!.reference, signal));
        } catch (error) {
          if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
          unreadable.add(number);
        }
      },
    });
    return unreadable;
  }
}

/** Where a cache has the records of this repository: manifests by key, or digests of table pages by id. */
export function usageDirectory(repository: Repository, cacheDirectory: string, what: 'manifests' | 'pages'): string {
  return join(cacheDirectory, repository.configuration.repository, repository.domain, what);
}

const usesNothing: Known = { sessionId: '', series: null, incrementId: null, direct: [], pages: new Uint32Array() };

/** @throws collect_refused */
export function assertWhole(torn: readonly UsedPoint[]): void {
  if (torn.length === 0) return;
  const pointIds = torn.map(({ pointId }) => pointId);
  const more = pointIds.length > 3 ? `, and ${pointIds.length - 3} more` : '';
  throw new HoldfastError('collect_refused', `What ${pointIds.slice(0, 3).join(', ')}${more} uses cannot be read.`, {
    facts: { points: pointIds },
  });
}
