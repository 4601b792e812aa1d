/** What crashed writers and keepers leave behind beside packs. */
import { listTombs, readTomb } from '../manifest/tombs.ts';
import { parseSessionSpillKey, sessionSpillsPrefix, tombKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { timeOfId } from '@holdfast/base';
import { remaining } from './holders.ts';
import type { UsedPoint } from './usage.ts';
import { listEpochs, readOutcome, removeEpoch } from './epochs.ts';

/** A purging record stays this long, against a put of the manifest that is still under way. */
const purgingRecordMs = 30 * 24 * 3600 * 1000;

/** Answers how many objects it removed. @param request.points that count */
export async function removeLeftovers(request: {
  readonly repository: Repository;
  readonly points: readonly UsedPoint[];
  readonly signal?: AbortSignal | undefined;
}): Promise<number> {
  const { repository, signal } = request;
  return (
    (await removeSpills(repository, signal)) +
    (await removeEndedEpochs(repository, signal)) +
    (await removeOldTombs(request))
  );
}

/** Spilled parts of the index of sessions that have ended: listed before the sessions, which are there first. */
async function removeSpills(repository: Repository, signal: AbortSignal | undefined): Promise<number> {
  const { store } = repository;
  const spills = new Map<string, string>();
  for await (const { key } of store.list(sessionSpillsPrefix, { signal })) {
    const session = parseSessionSpillKey(key);
    if (session !== undefined) spills.set(key, session);
  }
  const open = await remaining(repository, spills.values(), signal);
  let removed = 0;
  for (const [key, session] of spills) {
    if (open.has(session)) continue;
    await store.delete(key, { signal });
    removed += 1;
  }
  return removed;
}

/** Of sweeps that were interrupted after the condemned list had gone: then every pack of theirs has. */
async function removeEndedEpochs(repository: Repository, signal: AbortSignal | undefined): Promise<number> {
  let removed = 0;
  for (const { name, packs, hasHolders, hasOutcome } of await listEpochs(repository, signal)) {
    if (packs !== undefined) continue;
    const nothing = { deleted: [], taken_back: [] };
    const outcome = (hasOutcome ? await readOutcome(repository, name, signal) : undefined) ?? nothing;
    if (!hasHolders && outcome.taken_back.length > 0) continue;
    await removeEpoch(repository, { name, outcome, signal });
    removed += 1;
  }
  return removed;
}

/**
 * The last record goes last, so that a point that was purged is never anything else. While a series goes on, its highest
 * number stays known: if its point was purged, by the record.
 */
async function removeOldTombs(request: Parameters<typeof removeLeftovers>[0]): Promise<number> {
  const { repository, points, signal } = request;
  const { store, domain, clock } = repository;
  const beforeMs = clock.nowMs() - purgingRecordMs;
  const listed = new Set(points.map(({ pointId }) => pointId));
  const highest = new Map<string | null, number>();
  for (const { series, incrementId } of points) {
    highest.set(series, Math.max(highest.get(series) ?? 0, incrementId ?? 0));
  }
  let removed = 0;
  for (const [pointId, last] of await listTombs({ repository, signal })) {
    if (listed.has(pointId) || timeOfId(pointId) > beforeMs) continue;
    const tomb = await readTomb(repository, { pointId, number: last, signal });
    if (tomb?.state !== 'purging' || Date.parse(tomb.at) > beforeMs) continue;
    if ((tomb.increment_id ?? 0) > (highest.get(tomb.series) ?? Infinity)) continue;
    for (let number = 1; number <= last; number += 1) {
      await store.delete(tombKey({ domain, pointId, number }), { signal });
      removed += 1;
    }
  }
  return removed;
}
