/** What is on the storage and why: in use, only in the trash, in the making, condemned, or left over. Changes nothing. */
import { doesCount } from '../manifest/point-states.ts';
import type { Repository } from '../repository/repository.ts';
import { listSessions } from '../session/session.ts';
import type { PackSum } from './collect.ts';
import { holdersListed, listEpochs } from './epochs.ts';
import { findGarbage, packsOfSessions } from './find-garbage.ts';
import { remaining } from './holders.ts';
import { listPacks, Liveness, readForwardings } from './liveness.ts';
import type { PackCensus } from './pack-census.ts';
import { Usage, type UsedPoint } from './usage.ts';

export type StorageExplained = {
  readonly trashedPoints: number;
  /** Purged, or void: their manifests go with the next collection. */
  readonly deadPoints: number;
  /** Needed by points that can be restored. */
  readonly inUse: PackSum;
  /** Needed by points in the trash only. */
  readonly inTrash: PackSum;
  readonly inTheMaking: readonly (PackSum & { readonly session: string })[];
  readonly condemned: readonly (PackSum & {
    readonly epoch: string;
    /** Sessions that began before and have not ended. */
    readonly heldBackBy: readonly string[];
  })[];
  /** Nobody needs it: the next collection condemns it. */
  readonly orphaned: PackSum;
};

/** @throws collect_refused when what is in use cannot be seen, repository_damaged, storage errors */
export async function explainStorage(request: {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
}): Promise<StorageExplained> {
  const { repository, signal } = request;
  await using usage = await Usage.open(request);
  const epochs = await listEpochs(repository, signal);
  const census = await listPacks(repository, signal);
  const sessions = await listSessions(repository, signal);
  const forwardings = await readForwardings(repository, census, signal);
  const points = await usage.look(() => true);
  const livenessOf = async (chosen: readonly UsedPoint[]): Promise<Liveness> => {
    const used = await usage.slotsOf(chosen, census);
    return await Liveness.of({ census, used, forwardings, isStaying: (ordinal) => census.isListed(ordinal) });
  };
  const available = await livenessOf(points.filter(({ state }) => state === 'available'));
  const counting = await livenessOf(points.filter(({ state }) => doesCount(state)));
  const condemned = [];
  for (const { name, packs, hasOutcome } of epochs) {
    if (!packs) continue;
    const listed = packs.map(({ pack }) => census.findId(pack)).filter((ordinal) => ordinal >= 0);
    const holders = hasOutcome ? [] : await holdersListed(repository, name, signal);
    const heldBackBy = [...(await remaining(repository, holders, signal))];
    condemned.push({
      epoch: name,
      heldBackBy,
      ...sumOf(
        census,
        listed.filter((ordinal) => census.isListed(ordinal)),
      ),
    });
  }
  const dealtWith = new Set(epochs.flatMap(({ packs = [] }) => packs.map(({ pack }) => pack)));
  const unused = await findGarbage({ repository, census, liveness: counting, sessions: [], dealtWith, signal });
  const owners =
    sessions.length === 0
      ? new Map<string, string>()
      : await packsOfSessions({ repository, sessions, packs: unused, signal });
  const ordinals = Array.from({ length: census.count }, (_, ordinal) => ordinal).filter((ordinal) =>
    census.isListed(ordinal),
  );
  const ofSession = Map.groupBy(unused, ({ pack }) => owners.get(pack) ?? '');
  const sumOfGarbage = (packs: typeof unused = []): PackSum =>
    sumOf(
      census,
      packs.map(({ pack }) => census.findId(pack)),
    );
  return {
    trashedPoints: points.filter(({ state }) => state === 'trashed').length,
    deadPoints: points.filter(({ state }) => !doesCount(state)).length,
    inUse: sumOf(
      census,
      ordinals.filter((ordinal) => available.standingOf(ordinal) === 'used'),
    ),
    inTrash: sumOf(
      census,
      ordinals.filter((ordinal) => counting.standingOf(ordinal) === 'used' && available.standingOf(ordinal) !== 'used'),
    ),
    inTheMaking: [...ofSession]
      .filter(([session]) => session !== '')
      .map(([session, packs]) => ({ session, ...sumOfGarbage(packs) })),
    condemned,
    orphaned: sumOfGarbage(ofSession.get('')),
  };
}

function sumOf(census: PackCensus, ordinals: readonly number[]): PackSum {
  return {
    packs: ordinals.filter((ordinal) => census.isListed(ordinal)).length,
    bytes: ordinals.reduce((sum, ordinal) => sum + census.sizeOf(ordinal), 0),
  };
}
