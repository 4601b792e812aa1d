/** What collection has announced: fenced sessions and packs about to go. Writers read it when they begin and commit. */
import { hasCode } from '@holdfast/base';
import { condemnedSchema } from '../collect/condemned.ts';
import { decodeDocument } from '../repository/document.ts';
import { collectionPrefix, fencesPrefix, parseEpochKey, parseFenceKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

/** `moved`: its live frames are forwarded to other packs, and those that are may still be used. */
export type Condemnation = { readonly moved: boolean };

export type CollectionState = {
  readonly fencedSessions: ReadonlySet<string>;
  /** By pack id. */
  readonly condemnedPacks: ReadonlyMap<string, Condemnation>;
};

/** @throws repository_damaged: an unreadable announcement must stop a commit, not be skipped */
export async function readCollectionState(repository: Repository, signal?: AbortSignal): Promise<CollectionState> {
  const fencedSessions = new Set<string>();
  const condemnedPacks = new Map<string, Condemnation>();
  for await (const { key } of repository.store.list(collectionPrefix, { signal })) {
    if (key.startsWith(fencesPrefix)) {
      const fence = parseFenceKey(key);
      if (fence) fencedSessions.add(fence.sessionId);
    } else if (parseEpochKey(key)?.part === 'condemned') {
      for (const { domain, pack, moved } of await readCondemned(repository, key, signal)) {
        if (domain !== repository.domain) continue;
        // Of two epochs that name it, one that says that nobody uses it decides.
        condemnedPacks.set(pack, { moved: moved && condemnedPacks.get(pack)?.moved !== false });
      }
    }
  }
  return { fencedSessions, condemnedPacks };
}

async function readCondemned(repository: Repository, key: string, signal?: AbortSignal) {
  try {
    return decodeDocument(key, await repository.store.get(key, { signal }), condemnedSchema).packs;
  } catch (error) {
    // The collection that wrote it has ended since the listing.
    if (hasCode(error, 'object_not_found')) return [];
    throw error;
  }
}
