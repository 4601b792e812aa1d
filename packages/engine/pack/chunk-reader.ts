/** The content of a chunk, whatever kind its map entry is of. */
import { HoldfastError } from '@holdfast/base';
import { applyPatch, decodePatch } from '../chunk/patch.ts';
import type { StoredDigest } from '../chunk/chunk-digest.ts';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { frameHeadBytes, decodeFrame } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { DataReference, SplitReference } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { readFrame, readRange } from './frame-reader.ts';

/**
 * Plaintext of a chunk, proved by its id.
 * @throws chunk_corrupt (damaged or missing), key_missing, storage errors
 */
export async function readChunk(
  repository: Repository,
  request: { readonly reference: DataReference | SplitReference; readonly signal?: AbortSignal | undefined },
): Promise<Buffer> {
  const { reference, signal } = request;
  if (reference.kind === 'data') return await readFrame(repository, { kind: 'data', reference, signal });
  const { codec } = repository;
  const [baseFrame, patchFrame] = await Promise.all([
    readWhole(repository, reference.base, signal),
    readWhole(repository, reference.patch, signal),
  ]);
  const patchHead = decodeFrame(patchFrame);
  if (patchHead.header.kind !== 'patch') throw corrupt(reference, 'has no patch where its map says');
  const patchPlain = await codec.decodeFrame(patchHead);
  const baseId = patchPlain.subarray(0, reference.id.length);
  const base = await codec.decode(baseFrame, { kind: 'data', id: baseId });
  const plain = applyPatch(base, decodePatch(patchPlain, base.length));
  if (!codec.idOf('data', plain).equals(reference.id)) throw corrupt(reference, 'does not have the content of its id');
  return plain;
}

/** Id, sub-chunk hashes and length of the data frame at a place, without its content. Errors as `readChunk`. */
export async function readChunkDigest(
  repository: Repository,
  request: { readonly location: ChunkLocation; readonly chunkBytes: number; readonly signal?: AbortSignal | undefined },
): Promise<StoredDigest> {
  const { location, chunkBytes, signal } = request;
  const { packId, offset, storedBytes } = location;
  const length = Math.min(storedBytes, frameHeadBytes(Math.ceil(chunkBytes / subChunkBytes)));
  return repository.codec.readDigest(await readRange(repository, { packKind: 'data', packId, offset, length, signal }));
}

async function readWhole(
  repository: Repository,
  { packId, offset, storedBytes }: ChunkLocation,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  return await readRange(repository, { packKind: 'data', packId, offset, length: storedBytes, signal });
}

function corrupt(reference: SplitReference, what: string): HoldfastError {
  return new HoldfastError('chunk_corrupt', `Chunk ${reference.id.toString('hex')} ${what}.`);
}
