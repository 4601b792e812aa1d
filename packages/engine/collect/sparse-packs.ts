/** Which packs are worth being compacted: those of which points that count use only a small part. */
import { hasCode, runLanes } from '@holdfast/base';
import { doesCount } from '../manifest/point-states.ts';
import type { Forwardings, SlotPlace } from '../pack/forwardings.ts';
import { readPackDirectory } from '../pack/pack-directory.ts';
import { packHeaderBytes, packOrder, type PackSlot } from '../pack/pack-format.ts';
import { type PackKind, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { readCollectionState } from '../session/collection-state.ts';
import { listPacks, Liveness, readForwardings } from './liveness.ts';
import { Usage } from './usage.ts';

/** A directory is one range read of a few KiB. */
const directoryLanes = 16;

export type SparsePack = {
  readonly packId: string;
  readonly kind: PackKind;
  /** Of all its frames. */
  readonly frameBytes: number;
  /** Of those that are used and lie nowhere else. */
  readonly liveBytes: number;
  readonly liveSlots: readonly number[];
  /** Ends of chains of forwardings that lead to packs that are gone, by slot: there the next one has to begin. */
  readonly ends: ReadonlyMap<number, SlotPlace>;
};

export type SparsePacks = {
  /** Sparsest first. */
  readonly packs: readonly SparsePack[];
  /** As listed for this. */
  readonly forwardings: Forwardings;
  /** Packs whose directory cannot be read: nothing can be copied out of them. */
  readonly unreadable: readonly string[];
};

/**
 * The keeper's session must have begun.
 * @param request.threshold live share below which a pack is sparse, 0 to 1
 * @throws collect_refused, manifest_vanished when not all that is used can be seen, repository_damaged when a forwarding
 * cannot be read, storage errors
 */
export async function findSparsePacks(request: {
  readonly repository: Repository;
  readonly threshold: number;
  readonly cacheDirectory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<SparsePacks> {
  const { repository, threshold, signal } = request;
  const { store, domain } = repository;
  await using usage = await Usage.open(request);
  const { condemnedPacks } = await readCollectionState(repository, signal);
  const census = await listPacks(repository, signal);
  const forwardings = await readForwardings(repository, census, signal);
  const forwarded = new Set(await forwardings.packs());
  const points = (await usage.look(() => false)).filter(({ state }) => doesCount(state));
  const used = await usage.slotsOf(points, census);
  const isListed = (ordinal: number) => ordinal >= 0 && census.isListed(ordinal);
  // Adds what forwardings lead to: a frame that was moved is live where it is now.
  await Liveness.of({ census, used, forwardings, isStaying: isListed });
  const packs: SparsePack[] = [];
  const unreadable: string[] = [];
  await runLanes({
    jobs: Array.from({ length: census.count }, (_, ordinal) => ordinal),
    lanes: directoryLanes,
    signal,
    run: async (ordinal) => {
      if (!isListed(ordinal) || used.isEmpty(ordinal)) return;
      const [packId, kind] = [census.idOf(ordinal), census.kindOf(ordinal)];
      if (condemnedPacks.has(packId)) return;
      let directory: readonly PackSlot[];
      try {
        directory = await readPackDirectory({ store, key: packKey({ domain, kind, packId }), packId, signal });
      } catch (error) {
        if (!hasCode(error, 'chunk_corrupt', 'object_not_found')) throw error;
        unreadable.push(packId);
        return;
      }
      const liveSlots: number[] = [];
      const ends = new Map<number, SlotPlace>();
      let frameBytes = 0;
      let liveBytes = 0;
      for (const [slot, { storedBytes }] of directory.entries()) {
        frameBytes += storedBytes;
        if (!used.has(ordinal, slot)) continue;
        const chain = forwarded.has(packId) ? await Array.fromAsync(forwardings.chain({ packId, slot })) : [];
        if (chain.some((place) => isListed(census.findId(place.packId)))) continue;
        const end = chain.at(-1);
        if (end) ends.set(slot, end);
        liveSlots.push(slot);
        liveBytes += storedBytes;
      }
      if (liveSlots.length > 0 && liveBytes < frameBytes * threshold) {
        packs.push({ packId, kind, frameBytes, liveBytes, liveSlots, ends });
      }
    },
  });
  packs.sort((a, b) => a.liveBytes / a.frameBytes - b.liveBytes / b.frameBytes);
  return { packs, forwardings, unreadable };
}

/** In the order in which they were written, so that what was read one after the other is so again. */
export async function inWrittenOrder(
  repository: Repository,
  packs: readonly SparsePack[],
  signal?: AbortSignal,
): Promise<SparsePack[]> {
  const { store, domain } = repository;
  const orders = new Map<SparsePack, string>();
  await runLanes({
    jobs: packs,
    lanes: directoryLanes,
    signal,
    run: async (pack) => {
      const range = { offset: 0, length: packHeaderBytes };
      orders.set(pack, packOrder(await store.get(packKey({ domain, ...pack }), { range, signal })));
    },
  });
  return packs.toSorted((a, b) => orders.get(a)!.localeCompare(orders.get(b)!));
}
