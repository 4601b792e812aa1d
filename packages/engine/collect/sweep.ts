/** Rule *sweep*: index entries, packs, then what announced it, in this order; a crash in between is carried on by the next run. */
import { runLanes } from '@holdfast/base';
import { dropPacks } from '../index/drop-packs.ts';
import { indexPrefix, movedPrefix, packKey, parseMovedKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import type { CondemnedPack } from './condemned.ts';
import { type Epoch, type Outcome, removeEpoch } from './epochs.ts';

const deleteLanes = 16;

/** Packs of an outcome that is carried out go from the storage, whoever decided it. */
export async function sweep(request: {
  readonly repository: Repository;
  readonly epoch: Epoch;
  readonly outcome: Outcome;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly CondemnedPack[]> {
  const { repository, epoch, outcome, signal } = request;
  const { store, domain, clock } = repository;
  const deleted = new Set(outcome.deleted);
  const packs = (epoch.packs ?? []).filter(({ pack }) => deleted.has(pack));
  if (packs.length > 0) {
    await dropPacks({ store, prefix: indexPrefix(domain), packs: deleted, clock, signal });
    await runLanes({
      jobs: packs,
      lanes: deleteLanes,
      signal,
      run: async ({ domain: of, kind, pack }) =>
        await store.delete(packKey({ domain: of, kind, packId: pack }), { signal }),
    });
    const plain = new Set(packs.filter(({ moved }) => !moved).map(({ pack }) => pack));
    for await (const { key } of store.list(movedPrefix(domain), { signal })) {
      const source = parseMovedKey(domain, key)?.packId;
      if (source !== undefined && plain.has(source)) await store.delete(key, { signal });
    }
  }
  await removeEpoch(repository, { name: epoch.name, outcome, signal });
  return packs;
}
