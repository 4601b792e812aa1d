/** Finding restore points. The listing of `rp/` is the truth: nothing else has to survive. */
import { HoldfastError, hasCode, runLanes } from '@holdfast/base';
import { parsePointKey, pointsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { decodeManifest, type Manifest } from './manifest.ts';

/** Manifests are a few KiB; this many at once hide a network storage's latency. */
const manifestLanes = 16;

export type RestorePoint = { readonly key: string; readonly manifest: Manifest };

/** A point that is listed on the storage but cannot be read. */
export type DamagedPoint = {
  readonly key: string;
  readonly resource: string;
  readonly pointId: string;
  readonly error: HoldfastError;
};

export type PointListing = {
  /** Oldest first; of one moment, by id. */
  readonly points: readonly RestorePoint[];
  readonly damaged: readonly DamagedPoint[];
};

type Request = {
  readonly repository: Repository;
  readonly resource?: string | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** Every point of the repository, or of one resource. @throws storage errors, key_missing */
export async function listPoints(request: Request): Promise<PointListing> {
  const { repository, signal } = request;
  const points: RestorePoint[] = [];
  const damaged: DamagedPoint[] = [];
  await runLanes({
    jobs: listKeys(request),
    lanes: manifestLanes,
    signal,
    run: async ({ key, resource, pointId }) => {
      try {
        points.push(await readPoint(repository, key, signal));
      } catch (error) {
        if (hasCode(error, 'object_not_found')) return;
        if (!hasCode(error, 'repository_damaged', 'repository_newer')) throw error;
        damaged.push({ key, resource, pointId, error });
      }
    },
  });
  points.sort((a, b) => orderOf(a).localeCompare(orderOf(b)));
  damaged.sort((a, b) => a.key.localeCompare(b.key));
  return { points, damaged };
}

/**
 * The point with this id, or whose id begins like this (at least four characters after `bkp_`, the prefix may be left
 * out); `latest` together with a resource is its newest.
 * @throws point_not_found, point_ambiguous, repository_damaged
 */
export async function findPoint(request: Request & { readonly point: string }): Promise<RestorePoint> {
  const { repository, resource, point, signal } = request;
  const wanted = point.startsWith('bkp_') ? point : `bkp_${point}`;
  const found: { key: string; pointId: string }[] = [];
  for await (const candidate of listKeys(request)) {
    const matches = point === 'latest' || candidate.pointId === wanted;
    if (matches || (wanted.length >= 8 && candidate.pointId.startsWith(wanted))) found.push(candidate);
  }
  if (point === 'latest' && resource === undefined) {
    throw new HoldfastError('usage', '"latest" needs --resource.');
  }
  const choice = point === 'latest' ? found.at(-1) : found[0];
  if (!choice) {
    const where = resource === undefined ? '' : ` of ${resource}`;
    throw new HoldfastError('point_not_found', `No restore point${where} is called "${point}".`);
  }
  if (point !== 'latest' && found.length > 1) {
    throw new HoldfastError('point_ambiguous', `${found.length} restore points begin with "${point}".`, {
      facts: { points: found.map(({ pointId }) => pointId) },
    });
  }
  return await readPoint(repository, choice.key, signal);
}

async function* listKeys({ repository, resource, signal }: Request) {
  for await (const { key } of repository.store.list(pointsPrefix(repository.domain, resource), { signal })) {
    const parsed = parsePointKey(repository.domain, key);
    if (parsed) yield { key, ...parsed };
  }
}

async function readPoint(repository: Repository, key: string, signal?: AbortSignal): Promise<RestorePoint> {
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
