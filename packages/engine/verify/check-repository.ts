/** What lies in a repository, without reading content: points, packs in use and not, open sessions. */
import { HoldfastError, hasCode } from '@holdfast/base';
import { explainStorage, type StorageExplained } from '../collect/explain-storage.ts';
import { listPacks } from '../collect/liveness.ts';
import type { PackCensus } from '../collect/pack-census.ts';
import { listPoints } from '../manifest/points.ts';
import { Forwardings, type SlotPlace } from '../pack/forwardings.ts';
import { indexPrefix, type PackKind } from '../repository/layout.ts';
import type { Repository, RepositoryConfiguration } from '../repository/repository.ts';
import { livenessOf } from '../session/process-identity.ts';
import { listSessions, type SessionRecord } from '../session/session.ts';
import { collectNeeds, isSomewhere } from './needs.ts';
import { slotsOfPoint } from './point-packs.ts';

type Sum = { readonly count: number; readonly bytes: number };

export type RepositoryCheck = {
  readonly configuration: RepositoryConfiguration;
  readonly encrypted: boolean;
  readonly points: number;
  readonly resources: number;
  /** Manifests that cannot be read. */
  readonly damagedManifests: readonly string[];
  /** Packs that some point's table names but that are not there, with something in them that is nowhere else. */
  readonly missingPacks: readonly string[];
  readonly dataPacks: Sum;
  readonly metaPacks: Sum;
  readonly indexRuns: Sum;
  /** Undefined when something cannot be read that says what is in use. */
  readonly explained: StorageExplained | undefined;
  readonly sessions: readonly (SessionRecord & { readonly liveness: ReturnType<typeof livenessOf> })[];
};

/** @throws storage errors, repository_damaged when a pack table cannot be read */
export async function checkRepository(options: {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
}): Promise<RepositoryCheck> {
  const { repository, signal } = options;
  const { points, damaged } = await listPoints({ repository, signal });
  const forwardings = new Forwardings(repository);
  const census = await listPacks(repository, signal);
  const { points: needs } = await collectNeeds({ repository, points, forwardings, census, signal });
  for (const { problem } of needs) if (problem !== undefined) throw new HoldfastError('repository_damaged', problem);
  let indexRuns: Sum = { count: 0, bytes: 0 };
  for await (const { sizeBytes } of repository.store.list(indexPrefix(repository.domain), { signal })) {
    indexRuns = { count: indexRuns.count + 1, bytes: indexRuns.bytes + sizeBytes };
  }
  const isPresent = (packId: string) => census.isListed(census.findId(packId));
  const isHere = ({ packId }: SlotPlace) => isPresent(packId);
  const missing = new Set<string>();
  for (const { point, packs } of needs) {
    if (Iterator.from(packs).every((ordinal) => census.isListed(ordinal))) continue;
    for await (const { packId, slots } of slotsOfPoint(repository, point.manifest, signal)) {
      if (isPresent(packId) || missing.has(packId)) continue;
      for (const slot of slots) {
        if (!(await isSomewhere(forwardings, { place: { packId, slot }, isHere }))) missing.add(packId);
      }
    }
  }
  const sessions = await listSessions(repository, signal);
  return {
    configuration: repository.configuration,
    encrypted: repository.keys.encryptionKey !== undefined,
    points: points.length,
    resources: new Set(points.map(({ manifest }) => manifest.resource)).size,
    damagedManifests: damaged.map(({ key }) => key),
    missingPacks: [...missing],
    dataPacks: sumOf(census, 'data'),
    metaPacks: sumOf(census, 'meta'),
    indexRuns,
    explained: await explainStorage({ repository, signal }).catch((error: unknown) => {
      if (!hasCode(error, 'collect_refused', 'repository_damaged')) throw error;
      return undefined;
    }),
    sessions: sessions.map((session) => ({ ...session, liveness: livenessOf(session.process) })),
  };
}

function sumOf(census: PackCensus, kind: PackKind): Sum {
  let count = 0;
  let bytes = 0;
  for (let ordinal = 0; ordinal < census.count; ordinal += 1) {
    if (!census.isListed(ordinal) || census.kindOf(ordinal) !== kind) continue;
    count += 1;
    bytes += census.sizeOf(ordinal);
  }
  return { count, bytes };
}
