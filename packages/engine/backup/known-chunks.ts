/**
 * What the repository had when a backup began, and what of it may be referred to. Index and maps are hints: what they name is
 * used where it is, or where it was forwarded to, if its pack is there, stays, and is not in quarantine with it.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import { type ChunkIndex, openChunkIndex } from '../index/chunk-index.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { Manifest } from '../manifest/manifest.ts';
import { locationsOf, type Reference } from '../map/reference-list.ts';
import { Forwardings, type SlotPlace } from '../pack/forwardings.ts';
import { Quarantine } from '../pack/quarantine.ts';
import { indexPrefix, type PackKind, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { type CollectionState, readCollectionState } from '../session/collection-state.ts';
import { slotsOfPoint } from '../verify/point-packs.ts';
import { openPatchBase, type PatchBase } from './patch-base.ts';

export type KnownChunksOptions = {
  readonly repository: Repository;
  /** What `gc/` said after the session was opened; read here when absent. */
  readonly condemnedPacks?: CollectionState['condemnedPacks'] | undefined;
  readonly indexMemoryBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

export class KnownChunks {
  /** What `gc/` said when they were opened. */
  readonly condemnedPacks: CollectionState['condemnedPacks'];
  readonly #repository: Repository;
  readonly #index: ChunkIndex;
  readonly #quarantine: Quarantine;
  readonly #forwardings: Forwardings;
  readonly #signal: AbortSignal | undefined;
  /** Packs that were found on the storage (value: bytes) or found missing (undefined). */
  readonly #packs = new Map<string, Promise<number | undefined>>();

  private constructor(options: {
    readonly repository: Repository;
    readonly condemnedPacks: CollectionState['condemnedPacks'];
    readonly index: ChunkIndex;
    readonly quarantine: Quarantine;
    readonly signal: AbortSignal | undefined;
  }) {
    this.condemnedPacks = options.condemnedPacks;
    this.#repository = options.repository;
    this.#index = options.index;
    this.#quarantine = options.quarantine;
    this.#forwardings = new Forwardings(options.repository);
    this.#signal = options.signal;
  }

  static async open(options: KnownChunksOptions): Promise<KnownChunks> {
    const { repository, indexMemoryBytes, signal } = options;
    const condemnedPacks = options.condemnedPacks ?? (await readCollectionState(repository, signal)).condemnedPacks;
    const quarantine = await Quarantine.read(repository, signal);
    const index = await openChunkIndex({
      store: repository.store,
      prefix: indexPrefix(repository.domain),
      excludedPacks: new Set(condemnedPacks.keys()),
      ...(indexMemoryBytes !== undefined && { memoryBudgetBytes: indexMemoryBytes }),
      signal,
    });
    return new KnownChunks({ repository, condemnedPacks, index, quarantine, signal });
  }

  /** Where the whole chunk is. */
  async find(id: Buffer): Promise<ChunkLocation | undefined> {
    const known = await this.#index.lookup(id);
    return known && (await this.#usablePlace(known));
  }

  /** Whether a new point may take over what an earlier one refers to: nothing of it is in quarantine, or it was healed. */
  async trusts(reference: Reference): Promise<boolean> {
    for (const location of locationsOf(reference)) if (!(await this.#isSound(location, 'data'))) return false;
    return true;
  }

  /** Whether the chunk was stored whole once and is lost: only stored whole again it heals what needs it. */
  async isLost(id: Buffer): Promise<boolean> {
    if (this.#quarantine.isEmpty) return false;
    const known = await this.#index.lookup(id);
    return known !== undefined && !(await this.#isSound(known, 'data'));
  }

  /**
   * Whether all that an earlier point uses can be taken over; false: some of its chunks have to be stored anew.
   * @throws chunk_corrupt when a map or a table leads into quarantine, which no backup can bring back
   */
  async trustsPoint(manifest: Manifest): Promise<boolean> {
    if (this.#quarantine.isEmpty) return true;
    let isTrusted = true;
    for await (const { packId, kind, slots } of slotsOfPoint(this.#repository, manifest, this.#signal)) {
      if (!this.#quarantine.hasPack(packId)) continue;
      for (const slot of slots) {
        if (await this.#isSound({ packId, slot }, kind)) continue;
        if (kind === 'meta') throw new HoldfastError('chunk_corrupt', 'Its map or pack table is in quarantine.');
        isTrusted = false;
      }
    }
    return isTrusted;
  }

  /** What a patch of the chunk that `before` names can build on. @throws storage errors that are not the base's own */
  async openPatchBase(request: {
    readonly before: Reference | undefined;
    readonly chunkBytes: number;
    readonly withPatched: boolean;
  }): Promise<PatchBase | undefined> {
    const usablePlace = async (location: ChunkLocation) => await this.#usablePlace(location);
    return await openPatchBase(this.#repository, { ...request, usablePlace, signal: this.#signal });
  }

  async #usablePlace(location: ChunkLocation): Promise<ChunkLocation | undefined> {
    return (await this.#isUsable(location, 'data')) ? location : await this.#movedTo(location, 'data');
  }

  async #isSound(place: SlotPlace, kind: PackKind): Promise<boolean> {
    return !this.#quarantine.has(place) || (await this.#movedTo(place, kind)) !== undefined;
  }

  async #movedTo(from: SlotPlace, kind: PackKind): Promise<ChunkLocation | undefined> {
    try {
      for await (const place of this.#forwardings.chain(from, { settled: true })) {
        if (await this.#isUsable(place, kind)) return place;
      }
    } catch (error) {
      // What cannot be found is stored anew.
      if (!hasCode(error, 'repository_damaged')) throw error;
    }
    return undefined;
  }

  /** A pack is looked up once. */
  async #isUsable(location: ChunkLocation, kind: PackKind): Promise<boolean> {
    const { packId, offset, storedBytes } = location;
    if (this.condemnedPacks.has(packId) || this.#quarantine.has(location)) return false;
    let size = this.#packs.get(packId);
    if (!size) {
      const { store, domain } = this.#repository;
      const key = packKey({ domain, kind, packId });
      size = store.head(key, { signal: this.#signal }).then((info) => info?.sizeBytes);
      this.#packs.set(packId, size);
    }
    return ((await size) ?? 0) >= offset + storedBytes;
  }
}
