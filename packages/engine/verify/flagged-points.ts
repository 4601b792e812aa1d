/** Which points are known to miss something, for lists of points: nothing is read but what quarantine makes doubtful. */
import { Quarantine } from '../pack/quarantine.ts';
import type { Repository } from '../repository/repository.ts';
import { type PointVerdict, verifyRepository } from './verify-repository.ts';

/** By point id; empty, after one listing, when nothing is in quarantine. @throws storage errors */
export async function flaggedPoints(options: {
  readonly repository: Repository;
  readonly resource?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<ReadonlyMap<string, PointVerdict>> {
  const quarantine = await Quarantine.read(options.repository, options.signal);
  if (quarantine.isEmpty) return new Map();
  const { points } = await verifyRepository({ ...options, scope: 'presence' });
  return new Map(points.filter(({ ok }) => !ok).map((verdict) => [verdict.pointId, verdict]));
}
