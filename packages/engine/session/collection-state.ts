/** What collection has announced: fenced sessions and packs about to go. Writers read it when they begin and commit. */
import { hasCode } from '@holdfast/base';
import { z } from 'zod';
import { decodeDocument } from '../repository/document.ts';
import { collectionPrefix, fencesPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

const condemnedSchema = z.strictObject({
  version: z.literal(1),
  epoch: z.int().min(1),
  packs: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
});

export type CollectionState = {
  readonly fencedSessions: ReadonlySet<string>;
  readonly condemnedPacks: ReadonlySet<string>;
};

/** @throws repository_damaged: an unreadable announcement must stop a commit, not be skipped */
export async function readCollectionState(repository: Repository, signal?: AbortSignal): Promise<CollectionState> {
  const fencedSessions = new Set<string>();
  const condemnedPacks = new Set<string>();
  for await (const { key } of repository.store.list(collectionPrefix, { signal })) {
    if (key.startsWith(fencesPrefix)) {
      fencedSessions.add(key.slice(fencesPrefix.length));
    } else if (key.endsWith('-condemned')) {
      for (const pack of await readCondemned(repository, key, signal)) condemnedPacks.add(pack);
    }
  }
  return { fencedSessions, condemnedPacks };
}

async function readCondemned(repository: Repository, key: string, signal?: AbortSignal): Promise<readonly string[]> {
  try {
    return decodeDocument(key, await repository.store.get(key, { signal }), condemnedSchema).packs;
  } catch (error) {
    // The collection that wrote it has ended since the listing.
    if (hasCode(error, 'object_not_found')) return [];
    throw error;
  }
}
