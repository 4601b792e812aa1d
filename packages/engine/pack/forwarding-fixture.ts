/** Moves frames from pack to pack by hand, for stories about readers that have to follow. */
import { randomBytes } from 'node:crypto';
import { KiB, newId } from '@holdfast/base';
import type { MemoryStore } from '@holdfast/testing';
import type { ChunkLocation } from '../index/chunk-location.ts';
import { type PackKind, packKey, packsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { Forwardings } from './forwardings.ts';
import { readPackDirectory } from './pack-directory.ts';
import { PackWriter } from './pack-writer.ts';

export function packsOf(store: MemoryStore, kind: PackKind): string[] {
  const keys = [...store.objects().keys()].filter((key) => key.startsWith(packsPrefix('default', kind)));
  return keys.map((key) => key.slice(key.lastIndexOf('/') + 1));
}

/** Copies every frame of a pack into new packs in the opposite order, forwards them, and removes the pack. */
export async function movePack(
  repository: Repository,
  pack: { readonly packId: string; readonly kind: PackKind; readonly sessionId?: string },
): Promise<ReadonlyMap<number, ChunkLocation>> {
  const { store, domain, configuration } = repository;
  const key = packKey({ domain, ...pack });
  const bytes = await store.get(key);
  const slots = await readPackDirectory({ store, key, packId: pack.packId });
  const packIds: string[] = [];
  let ordinals = 0;
  const writer = new PackWriter({
    store,
    domain,
    kind: pack.kind,
    hash: configuration.hash,
    nonce: randomBytes(16),
    targetBytes: 512 * KiB,
    nextOrdinal: () => ordinals++,
    onSealed: ({ ordinal, packId }) => {
      packIds[ordinal] = packId;
    },
    uploads: 1,
  });
  const pending = [];
  for (const [slot, frame] of [...slots.entries()].toReversed()) {
    const parts = [bytes.subarray(frame.offset, frame.offset + frame.storedBytes)];
    pending.push({ slot, to: await writer.append({ ...frame, parts }) });
  }
  await writer.finish();
  const moves = new Map<number, ChunkLocation>();
  for (const { slot, to } of pending) {
    const { packOrdinal, ...place } = to;
    moves.set(slot, { packId: packIds[packOrdinal]!, ...place });
  }
  await new Forwardings(repository).put({ sessionId: newId('ses', repository.clock), ...pack, moves });
  await store.delete(key);
  return moves;
}

/** Moves every pack there is. */
export async function moveAllPacks(store: MemoryStore, repository: Repository): Promise<void> {
  for (const kind of ['data', 'meta'] as const) {
    for (const packId of packsOf(store, kind)) await movePack(repository, { packId, kind });
  }
}
