/**
 * Rule *heal* of ADR 0007: what is in quarantine and was stored anew by a later backup is forwarded to where it is now, so
 * that older points are whole again. Maps and manifests stay as they are.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import { type ChunkIndex, openChunkIndex } from '../index/chunk-index.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { Manifest } from '../manifest/manifest.ts';
import { listPoints, type RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import type { Reference, SplitReference } from '../map/reference-list.ts';
import { readPatchBaseId } from '../pack/chunk-reader.ts';
import { readRange } from '../pack/frame-reader.ts';
import { Forwardings, placeName, type SlotPlace } from '../pack/forwardings.ts';
import { type Move, putForwardings } from '../pack/put-forwardings.ts';
import { Quarantine } from '../pack/quarantine.ts';
import { indexPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { type CollectionState, readCollectionState } from '../session/collection-state.ts';
import { openSession } from '../session/session.ts';
import { isSomewhere } from '../verify/needs.ts';
import { slotsOfPoint } from '../verify/point-packs.ts';
import { listPacks } from './liveness.ts';
import type { PackCensus } from './pack-census.ts';

export type HealReport = {
  /** Chunks in quarantine that points use and that lie nowhere else. */
  readonly lostChunks: number;
  /** Of those, forwarded to where a later backup has stored them. */
  readonly healedChunks: number;
  /** Points that need something of what was lost. */
  readonly concernedPoints: readonly string[];
};

/**
 * Verify has to put what is bad into quarantine before. Idempotent, and may end anywhere.
 * @throws collect_refused on a storage without create-only puts, session_fenced, key_missing, repository_damaged, storage
 * errors
 */
export async function heal(request: {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
}): Promise<HealReport> {
  const { repository, signal } = request;
  if (!repository.store.capabilities.createOnlyPut) {
    throw new HoldfastError('collect_refused', 'This storage does not say for sure who was first.');
  }
  await using session = await openSession({ repository, role: 'keeper', signal });
  const { condemnedPacks } = await readCollectionState(repository, signal);
  const quarantine = await Quarantine.read(repository, signal);
  if (quarantine.isEmpty) return { lostChunks: 0, healedChunks: 0, concernedPoints: [] };
  const census = await listPacks(repository, signal);
  const index = await openChunkIndex({
    store: repository.store,
    prefix: indexPrefix(repository.domain),
    excludedPacks: new Set(condemnedPacks.keys()),
    signal,
  });
  const forwardings = new Forwardings(repository);
  const healing = new Healing({ repository, condemnedPacks, quarantine, census, index, forwardings, signal });
  const { points } = await listPoints({ repository, states: ['available', 'trashed'], signal });
  const concernedPoints: string[] = [];
  for (const point of points) if (await healing.look(point)) concernedPoints.push(point.manifest.id);
  const put = await putForwardings({ repository, session, forwardings, kind: 'data', moves: healing.moves, signal });
  return { lostChunks: healing.lostChunks, healedChunks: put.length, concernedPoints };
}

type HealingOptions = {
  readonly repository: Repository;
  /** Read after the session began: their collection does not wait for it. */
  readonly condemnedPacks: CollectionState['condemnedPacks'];
  readonly quarantine: Quarantine;
  readonly census: PackCensus;
  readonly index: ChunkIndex;
  readonly forwardings: Forwardings;
  readonly signal: AbortSignal | undefined;
};

class Healing {
  readonly #options: HealingOptions;
  /** By the place that is lost: points share most of their chunks. Undefined: the content is nowhere. */
  readonly #found = new Map<string, Move | undefined>();

  constructor(options: HealingOptions) {
    this.#options = options;
  }

  get lostChunks(): number {
    return this.#found.size;
  }

  /** What was found, one a place. */
  get moves(): readonly Move[] {
    const moves = [...this.#found.values()].filter((move) => move !== undefined);
    return [...new Map(moves.map((move) => [placeName(move.from), move])).values()];
  }

  /** Looks for what the point misses. Answers whether it misses anything. */
  async look({ manifest }: RestorePoint): Promise<boolean> {
    const { repository, signal } = this.#options;
    if (!(await this.#isConcerned(manifest))) return false;
    for (const root of manifest.roots) {
      await unlessLost(async () => {
        const map = await MapReader.open(repository, { root, signal });
        for (let page = 0; page < map.geometry.pageCount; page += 1) {
          signal?.throwIfAborted();
          await unlessLost(async () => {
            for (const entry of await map.page(page, signal)) await this.#lookAt(entry);
          });
        }
      });
    }
    return true;
  }

  async #isConcerned(manifest: Manifest): Promise<boolean> {
    const { repository, quarantine, census, signal } = this.#options;
    let isConcerned = false;
    const isRead = await unlessLost(async () => {
      for await (const { packId, slots } of slotsOfPoint(repository, manifest, signal)) {
        if (isConcerned) return;
        if (!quarantine.hasPack(packId) && isListed(census, packId)) continue;
        for (const slot of slots) isConcerned ||= !(await this.#isSound({ packId, slot }));
      }
    });
    return isConcerned || !isRead;
  }

  async #lookAt(entry: Reference): Promise<void> {
    if (entry.kind === 'data') await this.#lookFor(entry.location, async () => entry.id);
    if (entry.kind === 'split') await this.#lookForPatched(entry);
  }

  /** The base, which is of use to more chunks than this; else the whole chunk in the place of its patch. */
  async #lookForPatched(entry: SplitReference): Promise<void> {
    const { repository, signal } = this.#options;
    const readBaseId = async () => await readPatchBaseId(repository, { location: entry.patch, signal });
    const hasBase = await this.#lookFor(entry.base, readBaseId);
    // Another patch of the same base tells its id as well, so what was not found is asked for again by each of them.
    if (hasBase && (await this.#isSound(entry.patch))) return;
    await this.#lookFor(entry.patch, async () => entry.id, { always: true });
  }

  /**
   * Whether what is at the place can be had, here or, from now on, elsewhere.
   * @param idOf of the content; chunk_corrupt when it cannot be told
   * @param options.always also when the place is sound, because what it was for is not
   */
  async #lookFor(
    place: ChunkLocation,
    idOf: () => Promise<Buffer>,
    options: { readonly always?: boolean } = {},
  ): Promise<boolean> {
    if (!options.always && (await this.#isSound(place))) return true;
    const name = placeName(place);
    if (this.#found.get(name) !== undefined) return true;
    const chain = await Array.fromAsync(this.#options.forwardings.chain(place));
    const from = chain.at(-1) ?? place;
    // Nothing goes on from where a forwarding leads that may become void; the next run knows more.
    const settled = await Array.fromAsync(this.#options.forwardings.chain(place, { settled: true }));
    const to = settled.length === chain.length ? await this.#findContent(idOf) : undefined;
    // What leads there already needs nothing more.
    if (to && [place, ...chain].some((known) => placeName(known) === placeName(to))) return true;
    this.#found.set(name, to && { from, to });
    return to !== undefined;
  }

  /** A place with this content that is sound, and was read and proved just now. */
  async #findContent(idOf: () => Promise<Buffer>): Promise<ChunkLocation | undefined> {
    const { repository, condemnedPacks, index, forwardings, signal } = this.#options;
    let found: ChunkLocation | undefined;
    await unlessLost(async () => {
      const id = await idOf();
      const known = await index.lookup(id);
      if (!known) return;
      for (const place of [known, ...(await Array.fromAsync(forwardings.chain(known)))]) {
        if (!this.#isHere(place) || condemnedPacks.has(place.packId)) continue;
        const { packId, offset, storedBytes: length } = place;
        const bytes = await readRange(repository, { packKind: 'data', packId, offset, length, signal });
        await repository.codec.decode(bytes, { kind: 'data', id });
        found = place;
        return;
      }
    });
    return found;
  }

  #isHere(place: SlotPlace): boolean {
    const { quarantine, census } = this.#options;
    return isListed(census, place.packId) && !quarantine.has(place);
  }

  async #isSound(place: SlotPlace): Promise<boolean> {
    return await isSomewhere(this.#options.forwardings, { place, isHere: (candidate) => this.#isHere(candidate) });
  }
}

function isListed(census: PackCensus, packId: string): boolean {
  const ordinal = census.findId(packId);
  return ordinal >= 0 && census.isListed(ordinal);
}

/** What cannot be read is no reason to leave the rest unhealed. Answers whether all was read. */
async function unlessLost(run: () => Promise<void>): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
    return false;
  }
}
