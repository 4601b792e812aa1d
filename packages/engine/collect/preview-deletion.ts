/** What deleting points would free: what they use and nobody else does, the trash counting as in use. */
import { runLanes } from '@holdfast/base';
import { doesCount } from '../manifest/point-states.ts';
import type { PointKey } from '../manifest/points.ts';
import { readPackDirectory } from '../pack/pack-directory.ts';
import { packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import type { PackSum } from './collect.ts';
import { listPacks, Liveness, readForwardings } from './liveness.ts';
import type { PackCensus } from './pack-census.ts';
import type { SlotSets } from './slot-sets.ts';
import { Usage } from './usage.ts';

const directoryLanes = 16;

export type DeletionPreview = {
  /** Packs that collection removes once the points are purged. */
  readonly freed: PackSum;
  /** Chunks in packs that other points need as well: what compaction can free. */
  readonly dead: { readonly chunks: number; readonly bytes: number };
};

/** @throws collect_refused when what is in use cannot be seen, storage errors */
export async function previewDeletion(request: {
  readonly repository: Repository;
  readonly points: readonly PointKey[];
  readonly cacheDirectory?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<DeletionPreview> {
  const { repository, points, signal } = request;
  await using usage = await Usage.open(request);
  const census = await listPacks(repository, signal);
  const forwardings = await readForwardings(repository, census, signal);
  const keys = new Set(points.map(({ key }) => key));
  const counting = (await usage.look(() => false)).filter(({ state }) => doesCount(state));
  const slotsOf = async (chosen: typeof counting): Promise<SlotSets> => {
    const used = await usage.slotsOf(chosen, census);
    await Liveness.of({ census, used, forwardings, isStaying: (ordinal) => census.isListed(ordinal) });
    return used;
  };
  const now = await slotsOf(counting);
  const afterwards = await slotsOf(counting.filter(({ key }) => !keys.has(key)));
  let freed: PackSum = { packs: 0, bytes: 0 };
  const thinned: number[] = [];
  for (let ordinal = 0; ordinal < census.count; ordinal += 1) {
    if (!census.isListed(ordinal) || now.isEmpty(ordinal)) continue;
    if (!afterwards.isEmpty(ordinal)) thinned.push(ordinal);
    else freed = { packs: freed.packs + 1, bytes: freed.bytes + census.sizeOf(ordinal) };
  }
  return { freed, dead: await deadIn({ repository, census, packs: thinned, now, afterwards, signal }) };
}

async function deadIn(request: {
  readonly repository: Repository;
  readonly census: PackCensus;
  readonly packs: readonly number[];
  readonly now: SlotSets;
  readonly afterwards: SlotSets;
  readonly signal: AbortSignal | undefined;
}): Promise<DeletionPreview['dead']> {
  const { repository, census, packs, now, afterwards, signal } = request;
  const { store, domain } = repository;
  let chunks = 0;
  let bytes = 0;
  await runLanes({
    jobs: packs,
    lanes: directoryLanes,
    signal,
    run: async (ordinal) => {
      const dead = [...now.slotsOf(ordinal)].filter((slot) => !afterwards.has(ordinal, slot));
      if (dead.length === 0) return;
      const packId = census.idOf(ordinal);
      const key = packKey({ domain, kind: census.kindOf(ordinal), packId });
      const directory = await readPackDirectory({ store, key, packId, signal });
      chunks += dead.length;
      for (const slot of dead) bytes += directory[slot]?.storedBytes ?? 0;
    },
  });
  return { chunks, bytes };
}
