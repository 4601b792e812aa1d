/** Chunk sizes by name or number. */
import { HoldfastError, KiB, MiB } from '@holdfast/base';
import { type ChunkProfile, chunkProfiles } from '@holdfast/engine';
import { parseBytes } from './parse-values.ts';

/** @throws usage unless it is a profile's name or a power of two that the format knows */
export function parseChunkSize(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (isProfile(text)) return chunkProfiles[text];
  const chunkBytes = parseBytes(option, text);
  if (chunkBytes >= 64 * KiB && chunkBytes <= 4 * MiB && Number.isInteger(Math.log2(chunkBytes))) return chunkBytes;
  throw new HoldfastError('usage', `${option} ${text} is not a power of two from 64 KiB to 4 MiB.`);
}

function isProfile(text: string): text is ChunkProfile {
  return Object.hasOwn(chunkProfiles, text);
}
