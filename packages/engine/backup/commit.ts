/** Step 4 of the safety argument: the last look at `gc/`, then the manifest. */
import { HoldfastError } from '@holdfast/base';
import { encodeManifest, type Manifest } from '../manifest/manifest.ts';
import { decodeTablePage } from '../map/pack-table.ts';
import { readFrame } from '../pack/frame-reader.ts';
import { pointKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { readCollectionState } from '../session/collection-state.ts';

type CommitRequest = {
  readonly repository: Repository;
  readonly manifest: Manifest;
  readonly signal: AbortSignal | undefined;
};

/**
 * Answers the manifest's key. Every pack must be acknowledged before.
 * @throws session_fenced, pack_condemned, storage errors
 */
export async function commit(request: CommitRequest): Promise<string> {
  const { repository, manifest, signal } = request;
  const state = await readCollectionState(repository, signal);
  if (state.fencedSessions.has(manifest.session)) {
    throw new HoldfastError('session_fenced', `Session ${manifest.session} was fenced while it ran.`);
  }
  if (state.condemnedPacks.size > 0) await refuseCondemned(request, state.condemnedPacks);
  signal?.throwIfAborted();
  const key = pointKey({
    domain: manifest.domain,
    resource: manifest.resource,
    createdAtMs: Date.parse(manifest.created_at),
    pointId: manifest.id,
  });
  await repository.store.put(key, { buffers: [encodeManifest(manifest, repository.keys)] }, { ifAbsent: true });
  return key;
}

async function refuseCondemned(request: CommitRequest, condemned: ReadonlySet<string>): Promise<void> {
  const { repository, manifest, signal } = request;
  const guest = manifest.guest_configuration ? [manifest.guest_configuration] : [];
  const used = new Set([...manifest.roots, ...guest].map(({ location }) => location.packId));
  for (const page of manifest.table.pages) {
    if (page.kind !== 'data') continue;
    used.add(page.location.packId);
    const content = await readFrame(repository, { kind: 'tablePage', reference: page, signal });
    for (const packId of decodeTablePage(content).keys()) used.add(packId);
  }
  const hit = [...used].filter((packId) => condemned.has(packId));
  if (hit.length === 0) return;
  throw new HoldfastError('pack_condemned', `${hit.length} packs of this point are being collected.`, {
    facts: { packs: hit },
  });
}
