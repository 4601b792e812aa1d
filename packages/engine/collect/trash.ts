/**
 * Rule *trash* of ADR 0007: a deleted point stays whole until its trash period is over; until then it can be undeleted.
 * Deletes put a record and nothing else, so any point goes in any order and no data moves.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import { type PointState, PointStates, type TrashState } from '../manifest/point-states.ts';
import {
  findPointKeys,
  listPointKeys,
  notInState,
  type PointKey,
  readPoint,
  readPointState,
} from '../manifest/points.ts';
import { putTomb, type Tomb } from '../manifest/tombs.ts';
import type { Repository } from '../repository/repository.ts';
import { listFences } from '../session/fences.ts';
import { fenceSession } from '../session/session.ts';

type Request = {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
};

/**
 * The points that words mean, which are ids, beginnings of ids or `latest`; without words every available point of the
 * resource. Manifests are not read, so that a damaged point can be deleted too.
 * @throws point_not_found, point_ambiguous, usage
 */
export async function choosePoints(
  request: Request & {
    readonly words: readonly string[];
    readonly resource?: string | undefined;
    /** In which state they must be. */
    readonly state: 'available' | 'trashed';
  },
): Promise<PointKey[]> {
  const { repository, words, resource, state, signal } = request;
  if (words.length === 0 && resource === undefined) {
    throw new HoldfastError('usage', 'No point was named.', {
      remedy: 'Name points, or a whole volume or instance with --resource.',
    });
  }
  const known = await PointStates.read({ repository, signal });
  const chosen = new Map<string, PointKey>();
  const isWanted = async ({ pointId }: PointKey) => (await known.inTrash(pointId)).state === state;
  if (words.length === 0) {
    for await (const candidate of listPointKeys({ repository, resource, signal })) {
      if (await isWanted(candidate)) chosen.set(candidate.key, candidate);
    }
  }
  for (const word of words) {
    const one = await chooseOne({ ...request, word, isWanted, known });
    chosen.set(one.key, one);
  }
  return [...chosen.values()];
}

async function chooseOne(
  request: Request & {
    readonly word: string;
    readonly resource?: string | undefined;
    readonly isWanted: (point: PointKey) => Promise<boolean>;
    readonly known: PointStates;
  },
): Promise<PointKey> {
  const { repository, word, resource, isWanted, known, signal } = request;
  if (word === 'latest' && resource === undefined) throw new HoldfastError('usage', '"latest" needs --resource.');
  const found = await findPointKeys({ repository, point: word, resource, signal });
  const wanted: PointKey[] = [];
  for (const candidate of found) if (await isWanted(candidate)) wanted.push(candidate);
  const choice = wanted.at(-1);
  if (choice && (word === 'latest' || wanted.length === 1)) return choice;
  if (choice) {
    throw new HoldfastError('point_ambiguous', `${wanted.length} restore points begin with "${word}".`, {
      facts: { points: wanted.map(({ pointId }) => pointId) },
    });
  }
  const [other] = found;
  if (other && word !== 'latest') throw notInState(other.pointId, (await known.inTrash(other.pointId)).state);
  throw new HoldfastError('point_not_found', `No restore point is called "${word}".`);
}

/** Moves the points to the trash, one after the other. One that is there by now stays there. @throws storage errors, point_not_found */
export async function deletePoints(request: Request & { readonly points: readonly PointKey[] }): Promise<void> {
  const { repository, points, signal } = request;
  for (const { key, pointId } of points) {
    signal?.throwIfAborted();
    const { series, incrementId } = await lineageOf(repository, { key, pointId, signal });
    await change(request, pointId, (state) => {
      if (state === 'trashed') return undefined;
      if (state === 'purging') throw notInState(pointId, state);
      return { state: 'deleted', series, increment_id: incrementId };
    });
  }
}

/**
 * Takes the points out of the trash, one after the other. What comes back without an error is there until it is deleted
 * again: the point is looked at once more, since its session may have been fenced meanwhile.
 * @throws point_not_found when one was purged or never counted, storage errors
 */
export async function undeletePoints(request: Request & { readonly points: readonly PointKey[] }): Promise<void> {
  const { repository, signal } = request;
  for (const { key, pointId } of request.points) {
    signal?.throwIfAborted();
    await change(request, pointId, (state, tomb) => {
      if (state === 'available') return undefined;
      if (state === 'purging' || !tomb) throw notInState(pointId, 'purging');
      return { state: 'undeleted', series: tomb.series, increment_id: tomb.increment_id };
    });
    const state = await settledState(repository, { key, pointId, signal });
    if (state !== 'available') throw notInState(pointId, state);
  }
}

/** The state once nothing is left to decide about the point's session. */
async function settledState(
  repository: Repository,
  { key, pointId, signal }: { key: string; pointId: string; signal: AbortSignal | undefined },
): Promise<PointState> {
  try {
    const point = await readPoint(repository, key, signal);
    const sessionId = point.manifest.session;
    const fence = (await listFences({ repository, sessionId, signal })).get(sessionId);
    if (fence?.settled === false) await fenceSession(repository, sessionId, signal);
    return (await readPointState(repository, point, signal)) ?? 'purging';
  } catch (error) {
    if (hasCode(error, 'object_not_found')) return 'purging';
    // Whose it is cannot be told. It could not be restored before, and cannot now.
    if (!hasCode(error, 'repository_damaged')) throw error;
    const known = await PointStates.readOne({ repository, pointId, signal });
    return (await known.inTrash(pointId)).state;
  }
}

/**
 * Removes a point of the trash for good: the record that cannot be taken back, then the manifest. Answers false when somebody
 * undeleted it just now.
 * @param request.isDue asked about the record that counts now, which may be younger than the one that was seen before: who
 *   undeletes and deletes again has the whole trash period once more. Always, when absent
 */
export async function purgePoint(
  request: Request & { readonly point: PointKey; readonly isDue?: ((trash: TrashState) => boolean) | undefined },
): Promise<boolean> {
  const { repository, point, isDue, signal } = request;
  const { pointId } = point;
  const known = await PointStates.readOne({ repository, pointId, signal });
  const trash = await known.inTrash(pointId);
  const { state, number, tomb } = trash;
  if (state === 'available') return false;
  if (state === 'trashed' && tomb) {
    if (isDue?.(trash) === false) return false;
    const purging: Tomb['state'] = 'purging';
    const record = { point: pointId, state: purging, series: tomb.series, increment_id: tomb.increment_id };
    if (!(await putTomb(repository, { number: number + 1, tomb: record, signal }))) return false;
  }
  await repository.store.delete(point.key, { signal });
  return true;
}

type Change = Pick<Tomb, 'state' | 'series' | 'increment_id'>;

/** Puts the record that `decide` makes of the newest one; decides again when somebody else was first. */
async function change(
  { repository, signal }: Request,
  pointId: string,
  decide: (state: Exclude<PointState, 'void'>, tomb: Tomb | undefined) => Change | undefined,
): Promise<void> {
  for (;;) {
    const known = await PointStates.readOne({ repository, pointId, signal });
    const { state, number, tomb } = await known.inTrash(pointId);
    const decided = decide(state, tomb);
    if (!decided || (await putTomb(repository, { number: number + 1, tomb: { point: pointId, ...decided }, signal }))) {
      return;
    }
  }
}

/** An unreadable manifest is no reason to keep a point. @throws point_not_found when somebody purged it just now */
async function lineageOf(
  repository: Repository,
  { key, pointId, signal }: { key: string; pointId: string; signal: AbortSignal | undefined },
): Promise<{ series: string | null; incrementId: number | null }> {
  try {
    const { manifest } = await readPoint(repository, key, signal);
    return { series: manifest.series, incrementId: manifest.increment_id };
  } catch (error) {
    if (hasCode(error, 'object_not_found')) throw notInState(pointId, 'purging');
    if (!hasCode(error, 'repository_damaged')) throw error;
    return { series: null, incrementId: null };
  }
}
