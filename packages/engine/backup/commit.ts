/** Rules *commit* and *settle* of ADR 0007: the last look at `gc/`, then the manifest, then the look for one's own fence. */
import { HoldfastError } from '@holdfast/base';
import { encodeManifest, type Manifest } from '../manifest/manifest.ts';
import { decodeTablePage } from '../map/pack-table.ts';
import { type FrameReference, readFrame } from '../pack/frame-reader.ts';
import { fenceKey, type PackKind, pointKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { type CollectionState, readCollectionState } from '../session/collection-state.ts';
import { putFence, settleVerdict } from '../session/fences.ts';
import { CondemnedCheck } from './condemned-check.ts';
import type { Session } from '../session/session.ts';

type CommitRequest = {
  readonly repository: Repository;
  /** The one that the manifest names. */
  readonly session: Session;
  readonly manifest: Manifest;
  /** What `gc/` said when the session began, or began again. */
  readonly condemnedAtBegin: CollectionState['condemnedPacks'];
  readonly signal: AbortSignal | undefined;
};

/**
 * Answers the manifest's key. Every pack must be acknowledged before. An error means that there is no point, and none will
 * come of this call however late its put lands. Only where the storage does not even take the fence that settles
 * this, the session is left as it is, for a keeper to fence.
 * @throws session_fenced, pack_condemned, storage errors
 */
export async function commit(request: CommitRequest): Promise<string> {
  const { repository, session, manifest, signal } = request;
  const { fencedSessions, condemnedPacks } = await readCollectionState(repository, signal);
  if (fencedSessions.has(session.id)) throw fenced(session.id);
  const condemned = ofBoth(request.condemnedAtBegin, condemnedPacks);
  if (condemned.size > 0) await refuseCondemned(request, condemned);
  signal?.throwIfAborted();
  const key = pointKey({
    domain: manifest.domain,
    resource: manifest.resource,
    createdAtMs: Date.parse(manifest.created_at),
    pointId: manifest.id,
  });
  // From here on no signal: half-way there is no answer.
  let isFenced: boolean;
  try {
    await repository.store.put(key, { buffers: [encodeManifest(manifest, repository.keys)] }, { ifAbsent: true });
    isFenced = (await repository.store.head(fenceKey(session.id))) !== undefined;
  } catch (error) {
    if (await isCommittedAfterAll(request, key)) return key;
    throw error;
  }
  if (!isFenced) return key;
  const { committed } = await settleVerdict({
    repository,
    sessionId: session.id,
    verdict: { committed: manifest.id, forwarded: [] },
  });
  if (committed !== manifest.id) throw fenced(session.id);
  return key;
}

/**
 * After a put or a look that failed, whose manifest may lie there or land later: the writer fences itself, and the
 * verdict is the answer for everybody.
 */
async function isCommittedAfterAll({ repository, session, manifest }: CommitRequest, key: string): Promise<boolean> {
  try {
    await putFence(repository, session.id);
    const isListed = (await repository.store.head(key)) !== undefined;
    const verdict = { committed: isListed ? manifest.id : null, forwarded: [] };
    const { committed } = await settleVerdict({ repository, sessionId: session.id, verdict });
    return committed === manifest.id;
  } catch {
    // The first failure is the one to report.
    session.leave();
    return false;
  }
}

function fenced(sessionId: string): HoldfastError {
  return new HoldfastError('session_fenced', `Session ${sessionId} was fenced while it ran.`);
}

async function refuseCondemned(request: CommitRequest, condemned: CollectionState['condemnedPacks']): Promise<void> {
  const { repository, manifest, signal } = request;
  const check = new CondemnedCheck(repository, condemned, signal);
  const hit = new Set<string>();
  const look = async (packId: string, kind: PackKind, slots: Iterable<number>): Promise<void> => {
    if (!(await check.isUsable({ packId, kind, slots }))) hit.add(packId);
  };
  const lookAt = async ({ location }: FrameReference) => await look(location.packId, 'meta', [location.slot]);
  const guest = manifest.guest_configuration ? [manifest.guest_configuration] : [];
  for (const reference of [...manifest.roots, ...guest]) await lookAt(reference);
  for (const page of manifest.table.pages) {
    if (page.kind !== 'data') continue;
    await lookAt(page);
    const content = await readFrame(repository, { kind: 'tablePage', reference: page, signal });
    for (const [packId, { kind, uses }] of decodeTablePage(content)) await look(packId, kind, usedSlots(uses));
  }
  if (hit.size === 0) return;
  throw new HoldfastError('pack_condemned', `${hit.size} packs of this point are being collected.`, {
    facts: { packs: [...hit] },
  });
}

/**
 * A pack condemned before the session began does not wait for it. It is taken back as long as the parent uses it and counts;
 * once that is purged, it may be gone and nothing below `gc/` say so any more, while the parent's maps still lead there.
 */
function ofBoth(
  before: CollectionState['condemnedPacks'],
  now: CollectionState['condemnedPacks'],
): CollectionState['condemnedPacks'] {
  const both = new Map(before);
  for (const [pack, { moved }] of now) both.set(pack, { moved: moved && before.get(pack)?.moved !== false });
  return both;
}

function* usedSlots(uses: readonly number[]): Generator<number> {
  for (const [slot, count] of uses.entries()) if (count > 0) yield slot;
}
