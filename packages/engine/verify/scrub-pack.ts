/**
 * Reads a pack whole and proves it: its bytes have the hash of its name, its directory describes its frames, and every
 * frame unpacks to the content of its id.
 */
import { type BufferSlots, hasCode, runLanes } from '@holdfast/base';
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

/** Frames of a pack in decompression at once; with the packs in work, more than there are cores. */
export const frameLanes = 2;

/** Used again and again; a pack or a chunk that is longer than its slot gets memory of its own. */
export type ScrubMemory = { readonly packs: BufferSlots; readonly chunks: BufferSlots };

/** @throws storage errors, object_not_found, key_missing; damage is an answer, not an error */
export async function scrubPack(
  repository: Repository,
  pack: {
    readonly packId: string;
    readonly kind: PackKind;
    readonly memory: ScrubMemory;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<PackVerdict> {
  const { packId, kind, memory, signal } = pack;
  const key = packKey({ domain: repository.domain, kind, packId });
  return await memory.packs.with(async (into) => {
    const bytes = await repository.store.get(key, { into, signal });
    return await judge(repository, { packId, bytes, memory, signal });
  });
}

async function judge(
  repository: Repository,
  pack: {
    readonly packId: string;
    readonly bytes: Buffer;
    readonly memory: ScrubMemory;
    readonly signal: AbortSignal | undefined;
  },
): Promise<PackVerdict> {
  const { packId, bytes, memory, signal } = pack;
  const whole = objectHash(repository.configuration.hash, bytes).toString('hex') === packId;
  let slots: PackSlot[];
  try {
    slots = directoryOfPack(bytes, packId);
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return { packBytes: bytes.length, problem: error.message, badSlots: 'all' };
  }
  const badSlots = new Set<number>();
  await runLanes({
    jobs: slots.entries(),
    lanes: frameLanes,
    signal,
    run: async ([index, slot]) => {
      const holds = await memory.chunks.with((into) => holdsContent(repository, { bytes, slot, into }));
      if (!holds) badSlots.add(index);
    },
  });
  const problem = whole ? undefined : `Pack ${packId} does not have the bytes of its name.`;
  return { packBytes: bytes.length, problem, badSlots };
}

async function holdsContent(
  repository: Repository,
  { bytes, slot, into }: { readonly bytes: Buffer; readonly slot: PackSlot; readonly into: Buffer },
): Promise<boolean> {
  if (slot.offset < packHeaderBytes || slot.offset + slot.storedBytes > bytes.length) return false;
  try {
    const frame = decodeFrame(bytes.subarray(slot.offset, slot.offset + slot.storedBytes));
    if (frame.header.kind !== slot.kind || !frame.header.id.equals(slot.id)) return false;
    const plain = await repository.codec.decodeFrame(frame, into);
    return plain.length === slot.plainBytes;
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return false;
  }
}
