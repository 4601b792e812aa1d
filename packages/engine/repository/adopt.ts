/**
 * Taking a storage into use that this machine knows nothing of: a copy, a mount, what is left after a disaster. The
 * listing of `rp/` is the catalogue; the advisory index is built anew from the directories of the packs in use.
 */
import { hasCode, runLanes } from '@holdfast/base';
import { SessionIndex } from '../index/session-index.ts';
import { listPoints, type PointListing } from '../manifest/points.ts';
import { readPackDirectory } from '../pack/pack-directory.ts';
import { openSession } from '../session/session.ts';
import { tableOfPoint } from '../verify/point-packs.ts';
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
  const used = new Map<string, Set<number>>();
  const unreadableTables: string[] = [];
  for (const { manifest } of listing.points) {
    try {
      for await (const { packId, use } of tableOfPoint(repository, manifest, signal)) {
        if (use.kind !== 'data') continue;
        const slots = used.get(packId) ?? new Set<number>();
        used.set(packId, slots);
        use.uses.forEach((uses, slot) => uses > 0 && slots.add(slot));
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
  const unreadablePacks: string[] = [];
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
          if (kind !== 'data' || !slots.has(slot)) continue;
          index.add({ id, packOrdinal, slot, offset, storedBytes });
          indexEntries += 1;
        }
      } catch (error) {
        if (!hasCode(error, 'chunk_corrupt', 'object_not_found')) throw error;
        unreadablePacks.push(packId);
      }
    },
  });
  await index.publish({ signal });
  for (const key of oldRuns) await store.delete(key, { signal });
  return { ...listing, indexEntries, unreadablePacks, unreadableTables };
}
