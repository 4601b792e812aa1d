/** Finding restore points. The listing of `rp/` is the truth: nothing else has to survive. */
import { HoldfastError, hasCode, runLanes } from '@holdfast/base';
import { parsePointKey, pointsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { decodeManifest, type Manifest } from './manifest.ts';
import { type PointState, PointStates } from './point-states.ts';
import type { Tomb } from './tombs.ts';

/** Manifests are a few KiB; this many at once hide a network storage's latency. */
const manifestLanes = 16;

export type RestorePoint = { readonly key: string; readonly manifest: Manifest };

/** A point as the storage lists it, and what became of it. */
export type ListedPoint = RestorePoint & {
  readonly state: PointState;
  /** Since when it is in the trash, if it is; ISO 8601. */
  readonly trashedAt: string | undefined;
};

/** A point that is listed on the storage but cannot be read. */
export type DamagedPoint = {
  readonly key: string;
  readonly resource: string;
  readonly pointId: string;
  /** Whether it is void cannot be told without its manifest. */
  readonly state: Exclude<PointState, 'void'>;
  readonly error: HoldfastError;
};

export type PointListing = {
  /** Oldest first; of one moment, by id. */
  readonly points: readonly ListedPoint[];
  readonly damaged: readonly DamagedPoint[];
};

type Request = {
  readonly repository: Repository;
  readonly resource?: string | undefined;
  /** Points in other states are left out; those that can be restored when absent. */
  readonly states?: readonly PointState[] | undefined;
  /** Points read before, by key; they are not read again. */
  readonly known?: ReadonlyMap<string, RestorePoint> | undefined;
  readonly signal?: AbortSignal | undefined;
};

const availableOnly: readonly PointState[] = ['available'];

/** The points of the repository, or of one resource. @throws storage errors, key_missing */
export async function listPoints(request: Request): Promise<PointListing> {
  const { repository, states = availableOnly, known, signal } = request;
  const pointStates = await PointStates.read({ repository, signal });
  const points: ListedPoint[] = [];
  const damaged: DamagedPoint[] = [];
  await runLanes({
    jobs: listPointKeys(request),
    lanes: manifestLanes,
    signal,
    run: async ({ key, resource, pointId }) => {
      const { state, tomb } = await pointStates.inTrash(pointId);
      if (!states.includes(state) && !states.includes('void')) return;
      try {
        const point = known?.get(key) ?? (await readPoint(repository, key, signal));
        const now = await pointStates.stateOf({ state, pointId, sessionId: point.manifest.session });
        if (states.includes(now)) points.push({ ...point, state: now, trashedAt: trashedAt(now, tomb) });
      } catch (error) {
        if (hasCode(error, 'object_not_found')) return;
        if (!hasCode(error, 'repository_damaged', 'repository_newer')) throw error;
        if (states.includes(state)) damaged.push({ key, resource, pointId, state, error });
      }
    },
  });
  points.sort((a, b) => orderOf(a).localeCompare(orderOf(b)));
  damaged.sort((a, b) => a.key.localeCompare(b.key));
  return { points, damaged };
}

/**
 * The point with this id, or whose id begins like this (at least four characters after `bkp_`, the prefix may be left
 * out); `latest` together with a resource is its newest. Of points in other states it says so.
 * @throws point_not_found, point_ambiguous, repository_damaged
 */
export async function findPoint(request: Request & { readonly point: string }): Promise<ListedPoint> {
  const { resource, point, states = availableOnly } = request;
  if (point === 'latest' && resource === undefined) {
    throw new HoldfastError('usage', '"latest" needs --resource.');
  }
  const found = await findPointKeys(request);
  let rejected: HoldfastError | undefined;
  const matches: ListedPoint[] = [];
  // Newest first: `latest` ends at the first that will do.
  for (const candidate of found.toReversed()) {
    const one = await readWanted(request, candidate, states);
    if (one instanceof HoldfastError) rejected = one;
    else if (one) matches.push(one);
    if (matches.length > 0 && (point === 'latest' || matches.length > 1)) break;
  }
  const [match, other] = matches;
  if (other) {
    throw new HoldfastError('point_ambiguous', `${found.length} restore points begin with "${point}".`, {
      facts: { points: found.map(({ pointId }) => pointId) },
    });
  }
  if (match) return match;
  const where = resource === undefined ? '' : ` of ${resource}`;
  if (rejected && point !== 'latest') throw rejected;
  throw new HoldfastError('point_not_found', `No restore point${where} is called "${point}".`);
}

export type PointKey = { readonly key: string; readonly resource: string; readonly pointId: string };

/**
 * Keys of the points that a word may mean, oldest first, whatever their state; of an id, one. `latest` means all of the
 * resource.
 */
export async function findPointKeys(request: Request & { readonly point: string }): Promise<PointKey[]> {
  const { point } = request;
  const wanted = point.startsWith('bkp_') ? point : `bkp_${point}`;
  const found: PointKey[] = [];
  for await (const candidate of listPointKeys(request)) {
    const matches = point === 'latest' || candidate.pointId === wanted;
    if (matches || (wanted.length >= 8 && candidate.pointId.startsWith(wanted))) found.push(candidate);
  }
  return found;
}

/** Keys of all points of the repository or of one resource, whatever their state. */
export async function* listPointKeys({ repository, resource, signal }: Request): AsyncGenerator<PointKey> {
  for await (const { key } of repository.store.list(pointsPrefix(repository.domain, resource), { signal })) {
    const parsed = parsePointKey(repository.domain, key);
    if (parsed) yield { key, ...parsed };
  }
}

/** What the storage says of a point that was found before; undefined when it is gone. @throws repository_damaged */
export async function readPointState(
  repository: Repository,
  point: RestorePoint,
  signal?: AbortSignal,
): Promise<PointState | undefined> {
  if (!(await repository.store.head(point.key, { signal }))) return undefined;
  const { id: pointId, session: sessionId } = point.manifest;
  const known = await PointStates.readOne({ repository, pointId, signal });
  const { state } = await known.inTrash(pointId);
  return await known.stateOf({ state, pointId, sessionId });
}

/** The point, undefined when it is gone, or why it is none that is wanted. */
async function readWanted(
  { repository, signal }: Request,
  { key, pointId }: PointKey,
  states: readonly PointState[],
): Promise<ListedPoint | HoldfastError | undefined> {
  const known = await PointStates.readOne({ repository, pointId, signal });
  const { state, tomb } = await known.inTrash(pointId);
  if (!states.includes(state) && !states.includes('void')) return notInState(pointId, state);
  try {
    const point = await readPoint(repository, key, signal);
    const now = await known.stateOf({ state, pointId, sessionId: point.manifest.session });
    return states.includes(now) ? { ...point, state: now, trashedAt: trashedAt(now, tomb) } : notInState(pointId, now);
  } catch (error) {
    if (!hasCode(error, 'object_not_found')) throw error;
    return undefined;
  }
}

function trashedAt(state: PointState, tomb: Tomb | undefined): string | undefined {
  return state === 'trashed' ? tomb?.at : undefined;
}

/** Why a point that is listed is not one that was asked for. */
export function notInState(id: string, state: PointState): HoldfastError {
  switch (state) {
    case 'trashed':
      return new HoldfastError('point_not_found', `Point ${id} is in the trash.`, {
        remedy: `Bring it back with holdfast undelete ${id}.`,
      });
    case 'purging':
      return new HoldfastError('point_not_found', `Point ${id} was purged.`);
    case 'void':
      return new HoldfastError('point_not_found', `Point ${id} never counted: its session was fenced before.`);
    case 'available':
      return new HoldfastError('point_not_found', `Point ${id} is not in the trash.`);
    default:
      return state satisfies never;
  }
}

/** @throws object_not_found, repository_damaged, repository_newer, key_missing, storage errors */
export async function readPoint(repository: Repository, key: string, signal?: AbortSignal): Promise<RestorePoint> {
  const manifest = decodeManifest(key, await repository.store.get(key, { signal }), repository.keys);
  const named = parsePointKey(repository.domain, key);
  if (manifest.id !== named?.pointId || manifest.resource !== named.resource || manifest.domain !== repository.domain) {
    throw new HoldfastError('repository_damaged', `Manifest ${key} is not the one of its key.`);
  }
  return { key, manifest };
}

/** Ids are UUIDv7, so they order points that were taken within one second. */
function orderOf(point: RestorePoint): string {
  return `${point.manifest.created_at} ${point.manifest.id}`;
}
