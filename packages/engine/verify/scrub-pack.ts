/**
 * Reads a pack whole and proves it: its bytes have the hash of its name, its directory describes its frames, and every
 * frame unpacks to the content of its id.
 */
import { hasCode } from '@holdfast/base';
import { objectHash } from '../chunk/hash.ts';
import { decodeFrame } from '../codec/frame.ts';
import { directoryOfPack } from '../pack/pack-directory.ts';
import { type PackSlot, packHeaderBytes } from '../pack/pack-format.ts';
import type { BadSlots } from '../pack/quarantine.ts';
import { type PackKind, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

export type PackVerdict = {
  readonly packBytes: number;
  /** What is wrong with the pack as a whole; its slots are judged one by one all the same where that is possible. */
  readonly problem: string | undefined;
  /** Slots whose content cannot be had back; all when the directory, which tells them apart, is lost. */
  readonly badSlots: BadSlots;
};

/** @throws storage errors, object_not_found, key_missing; damage is an answer, not an error */
export async function scrubPack(
  repository: Repository,
  pack: { readonly packId: string; readonly kind: PackKind; readonly signal?: AbortSignal | undefined },
): Promise<PackVerdict> {
  const { packId, kind, signal } = pack;
  const bytes = await repository.store.get(packKey({ domain: repository.domain, kind, packId }), { signal });
  const whole = objectHash(repository.configuration.hash, bytes).toString('hex') === packId;
  let slots: PackSlot[];
  try {
    slots = directoryOfPack(bytes, packId);
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return { packBytes: bytes.length, problem: error.message, badSlots: 'all' };
  }
  const badSlots = new Set<number>();
  for (const [index, slot] of slots.entries()) {
    signal?.throwIfAborted();
    if (!(await holdsContent(repository, bytes, slot))) badSlots.add(index);
  }
  const problem = whole ? undefined : `Pack ${packId} does not have the bytes of its name.`;
  return { packBytes: bytes.length, problem, badSlots };
}

async function holdsContent(repository: Repository, bytes: Buffer, slot: PackSlot): Promise<boolean> {
  if (slot.offset < packHeaderBytes || slot.offset + slot.storedBytes > bytes.length) return false;
  try {
    const frame = decodeFrame(bytes.subarray(slot.offset, slot.offset + slot.storedBytes));
    if (frame.header.kind !== slot.kind || !frame.header.id.equals(slot.id)) return false;
    const plain = await repository.codec.decodeFrame(frame);
    return plain.length === slot.plainBytes;
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return false;
  }
}
