/** Which packs points need, and which of it can be had, by tables and forwardings alone. */
import { hasCode } from '@holdfast/base';
import type { RestorePoint } from '../manifest/points.ts';
import type { Forwardings, SlotPlace } from '../pack/forwardings.ts';
import type { Repository } from '../repository/repository.ts';
import { slotsOfPoint } from './point-packs.ts';

export type PointNeed = {
  readonly point: RestorePoint;
  readonly packs: ReadonlySet<string>;
  /** Set when the pack table cannot be read. */
  readonly problem: string | undefined;
};

/** Whether a frame is at its place, or at one that it was forwarded to, as far as the forwardings can be read. */
export async function isSomewhere(
  forwardings: Forwardings,
  { place, isHere }: { readonly place: SlotPlace; readonly isHere: (place: SlotPlace) => boolean },
): Promise<boolean> {
  if (isHere(place)) return true;
  try {
    for await (const next of forwardings.chain(place)) if (isHere(next)) return true;
  } catch (error) {
    if (!hasCode(error, 'repository_damaged')) throw error;
  }
  return false;
}

/** What each point needs, and the packs that this was forwarded to. */
export async function collectNeeds(request: {
  readonly repository: Repository;
  readonly points: readonly RestorePoint[];
  readonly forwardings: Forwardings;
  readonly signal: AbortSignal | undefined;
}): Promise<{ readonly needs: readonly PointNeed[]; readonly moved: ReadonlySet<string> }> {
  const { repository, points, forwardings, signal } = request;
  const forwarded = new Set(await forwardings.packs());
  const needs: PointNeed[] = [];
  const moved = new Set<string>();
  for (const point of points) {
    const packs = new Set<string>();
    let problem: string | undefined;
    try {
      for await (const { packId, slots } of slotsOfPoint(repository, point.manifest, signal)) {
        packs.add(packId);
        if (forwarded.has(packId)) await addMoved(forwardings, { packId, slots, into: moved });
      }
    } catch (error) {
      if (!hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
      problem = `pack table: ${error.message}`;
    }
    needs.push({ point, packs, problem });
  }
  return { needs, moved };
}

/** A forwarding that cannot be read matters only for what is not where its map says; `isSomewhere` says so then. */
async function addMoved(
  forwardings: Forwardings,
  { packId, slots, into }: { readonly packId: string; readonly slots: readonly number[]; readonly into: Set<string> },
): Promise<void> {
  try {
    for (const slot of slots) {
      for await (const place of forwardings.chain({ packId, slot })) into.add(place.packId);
    }
  } catch (error) {
    if (!hasCode(error, 'repository_damaged')) throw error;
  }
}
