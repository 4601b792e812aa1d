/**
 * Taking a storage into use that this machine knows nothing of: a copy, a mount, what is left after a disaster. The
 * listing of `rp/` is the catalogue; the advisory index is built anew from the directories of the packs in use.
 */
import { hasCode, runLanes } from '@holdfast/base';
import { SessionIndex } from '../index/session-index.ts';
import { listPoints, type PointListing } from '../manifest/points.ts';
import { Forwardings, type SlotPlace } from '../pack/forwardings.ts';
import { readPackDirectory } from '../pack/pack-directory.ts';
import { Quarantine } from '../pack/quarantine.ts';
import { openSession } from '../session/session.ts';
import { isSomewhere } from '../verify/needs.ts';
import { slotsOfPoint } from '../verify/point-packs.ts';
import { indexPrefix, packKey, sessionSpillPrefix } from './layout.ts';
import type { Repository } from './repository.ts';

/** A directory is one range read of a few KiB. */
const directoryLanes = 16;

export type AdoptReport = PointListing & {
  /** Chunks in the new index. */
  readonly indexEntries: number;
  /** Packs that a point names and that could not be read; `verify` says what that costs. */
  readonly unreadablePacks: readonly string[];
  /** Points whose pack table could not be read. */
  readonly unreadableTables: readonly string[];
};

/** @throws not_a_repository and the like when opening; storage errors. The old index goes when the new one is there. */
export async function adoptRepository(options: {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
}): Promise<AdoptReport> {
  const { repository, signal } = options;
  const { store, domain } = repository;
  await using session = await openSession({ repository, role: 'writer', signal });
  const listing = await listPoints({ repository, signal });
  const forwardings = new Forwardings(repository);
  const forwarded = new Set(await forwardings.packs());
  const used = new Map<string, Set<number>>();
  const use = ({ packId, slot }: SlotPlace) => {
    const slots = used.get(packId) ?? new Set<number>();
    used.set(packId, slots.add(slot));
  };
  const unreadableTables: string[] = [];
  for (const { manifest } of listing.points) {
    try {
      for await (const { packId, kind, slots } of slotsOfPoint(repository, manifest, signal)) {
        if (kind !== 'data') continue;
        for (const slot of slots) {
          use({ packId, slot });
          if (forwarded.has(packId)) for await (const place of forwardings.chain({ packId, slot })) use(place);
        }
      }
    } catch (error) {
      if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
      unreadableTables.push(manifest.id);
    }
  }
  const oldRuns: string[] = [];
  for await (const { key } of store.list(indexPrefix(domain), { signal })) oldRuns.push(key);
  const index = new SessionIndex({
    store,
    prefix: indexPrefix(domain),
    spillPrefix: sessionSpillPrefix(session.id),
    signal,
  });
  const quarantine = await Quarantine.read(repository, signal);
  const unreadable = new Set<string>();
  let indexEntries = 0;
  await runLanes({
    jobs: [...used].entries(),
    lanes: directoryLanes,
    signal,
    run: async ([packOrdinal, [packId, slots]]) => {
      try {
        const directory = await readPackDirectory({
          store,
          key: packKey({ domain, kind: 'data', packId }),
          packId,
          signal,
        });
        index.sealPack(packOrdinal, packId);
        for (const [slot, { id, kind, offset, storedBytes }] of directory.entries()) {
          if (kind !== 'data' || !slots.has(slot) || quarantine.has({ packId, slot })) continue;
          index.add({ id, packOrdinal, slot, offset, storedBytes });
          indexEntries += 1;
        }
      } catch (error) {
        if (!hasCode(error, 'chunk_corrupt', 'object_not_found')) throw error;
        unreadable.add(packId);
      }
    },
  });
  await index.publish({ signal });
  // A pack that was compacted is not there, and nobody misses it.
  const isHere = ({ packId }: SlotPlace) => !unreadable.has(packId);
  const unreadablePacks: string[] = [];
  for (const packId of unreadable) {
    for (const slot of used.get(packId)!) {
      if (await isSomewhere(forwardings, { place: { packId, slot }, isHere })) continue;
      unreadablePacks.push(packId);
      break;
    }
  }
  for (const key of oldRuns) await store.delete(key, { signal });
  return { ...listing, indexEntries, unreadablePacks, unreadableTables };
}
