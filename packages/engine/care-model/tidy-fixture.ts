/** What a repository holds that nobody needs: nothing, once a collection has run and no session is open. */
import { listPoints } from '../manifest/points.ts';
import { Forwardings } from '../pack/forwardings.ts';
import { collectionPrefix, fencesPrefix, packIdOf, parseEpochKey, parseMovedKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { slotsOfPoint } from '../verify/point-packs.ts';

/**
 * Of all keys of the repository those that are neither points, nor what they use, nor what the protocol keeps for ever.
 * @throws as reading pack tables does
 */
export async function leftBehind(options: {
  readonly repository: Repository;
  readonly keys: readonly string[];
}): Promise<string[]> {
  const { repository, keys } = options;
  const { points } = await listPoints({ repository, states: ['available', 'trashed'] });
  const forwardings = new Forwardings(repository);
  const used = new Set<string>();
  const sources = new Set<string>();
  for (const { manifest } of points) {
    for await (const { packId, slots } of slotsOfPoint(repository, manifest)) {
      for (const slot of slots) {
        const chain = [{ packId, slot }, ...(await Array.fromAsync(forwardings.chain({ packId, slot })))];
        for (const place of chain.slice(0, -1)) sources.add(place.packId);
        used.add(chain.at(-1)!.packId);
      }
    }
  }
  return keys.filter((key) => {
    if (/^d\/default\/(data|meta)\//.test(key)) return !used.has(packIdOf(key));
    const moved = parseMovedKey(repository.domain, key);
    // Those of a pack that is used for other slots stay with it.
    if (moved) return !sources.has(moved.packId) && !used.has(moved.packId);
    if (key.startsWith(fencesPrefix)) return false;
    if (key.startsWith(collectionPrefix)) return parseEpochKey(key)?.part !== 'outcome';
    return key.startsWith('sess/') || key.startsWith('sess-idx/');
  });
}
