/** Reads the directory of a pack: one range read for packs of up to a few thousand slots, two otherwise. */
import { HoldfastError, KiB } from '@holdfast/base';
import type { BlobStore } from '@holdfast/storage';
import {
  decodePackDirectory,
  decodePackTrailer,
  directoryEntryBytes,
  type PackSlot,
  packTrailerBytes,
} from './pack-format.ts';

/** The directory of a pack that was read whole; ids are views of it. @throws chunk_corrupt */
export function directoryOfPack(bytes: Buffer, packId: string): PackSlot[] {
  const tailAt = Math.max(0, bytes.length - packTrailerBytes);
  const trailer = decodePackTrailer(bytes.subarray(tailAt), packId);
  return decodePackDirectory(bytes.subarray(trailer.directoryOffset, tailAt), trailer, packId);
}

/** Holds the directory of about 1 400 slots; a 32 MiB pack of 1 MiB chunks has 32 to 200. */
const firstReadBytes = 64 * KiB;

/** @throws object_not_found, chunk_corrupt */
export async function readPackDirectory(options: {
  readonly store: BlobStore;
  readonly key: string;
  readonly packId: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<PackSlot[]> {
  const { store, key, packId, signal } = options;
  const suffix = (length: number) => store.get(key, { range: { offset: -length, length }, signal });
  let tail = await suffix(firstReadBytes);
  const trailer = decodePackTrailer(tail.subarray(Math.max(0, tail.length - packTrailerBytes)), packId);
  const wantedBytes = trailer.slotCount * directoryEntryBytes + packTrailerBytes;
  if (wantedBytes > tail.length) tail = await suffix(wantedBytes);
  if (wantedBytes > tail.length) throw new HoldfastError('chunk_corrupt', `Pack ${packId} is cut short.`);
  return decodePackDirectory(tail.subarray(tail.length - wantedBytes, tail.length - packTrailerBytes), trailer, packId);
}
