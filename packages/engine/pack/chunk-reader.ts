/** The content of a chunk, whatever kind its map entry is of. */
import { HoldfastError, hasCode } from '@holdfast/base';
import { applyPatch, decodePatch, type Patch } from '../chunk/patch.ts';
import type { StoredDigest } from '../chunk/chunk-digest.ts';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { hashBytes } from '../chunk/hash.ts';
import { frameHeadBytes, decodeFrame } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { DataReference, SplitReference } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { followForwardings } from './forwardings.ts';
import { readFrame, readRange } from './frame-reader.ts';

/**
 * Plaintext of a chunk, proved by its id.
 * @throws chunk_corrupt (damaged or missing), repository_damaged (a forwarding is), key_missing, storage errors
 */
export async function readChunk(
  repository: Repository,
  request: { readonly reference: DataReference | SplitReference; readonly signal?: AbortSignal | undefined },
): Promise<Buffer> {
  const { reference, signal } = request;
  if (reference.kind === 'data') return await readFrame(repository, { kind: 'data', reference, signal });
  // A patch whose base was lost is forwarded to the whole chunk, once a backup has brought that again (heal).
  return await followForwardings(repository, reference.patch, (patch) =>
    readSplit(repository, reference, patch, signal),
  );
}

/** Id, sub-chunk hashes and length of the data frame of a place, without its content. Errors as `readChunk`. */
export async function readChunkDigest(
  repository: Repository,
  request: { readonly location: ChunkLocation; readonly chunkBytes: number; readonly signal?: AbortSignal | undefined },
): Promise<StoredDigest> {
  const { location, chunkBytes, signal } = request;
  const headBytes = frameHeadBytes(Math.ceil(chunkBytes / subChunkBytes));
  return await followForwardings(repository, location, async ({ packId, offset, storedBytes }) => {
    const length = Math.min(storedBytes, headBytes);
    return repository.codec.readDigest(
      await readRange(repository, { packKind: 'data', packId, offset, length, signal }),
    );
  });
}

/** The patch at a place, for a chunk of `chunkBytes`. Errors as `readChunk`. */
export async function readPatch(
  repository: Repository,
  request: { readonly location: ChunkLocation; readonly chunkBytes: number; readonly signal?: AbortSignal | undefined },
): Promise<Patch> {
  const { location, chunkBytes, signal } = request;
  return await followForwardings(repository, location, async (place) => {
    const frame = decodeFrame(await readWhole(repository, place, signal));
    if (frame.header.kind === 'patch') return decodePatch(await repository.codec.decodeFrame(frame), chunkBytes);
    throw new HoldfastError('chunk_corrupt', `Pack ${place.packId} has no patch where a map says.`);
  });
}

/** Id of the chunk that the patch of a place was made for. Errors as `readChunk`. */
export async function readPatchBaseId(
  repository: Repository,
  request: { readonly location: ChunkLocation; readonly signal?: AbortSignal | undefined },
): Promise<Buffer> {
  return await followForwardings(repository, request.location, async (place) => {
    const frame = decodeFrame(await readWhole(repository, place, request.signal));
    if (frame.header.kind === 'patch') return (await repository.codec.decodeFrame(frame)).subarray(0, hashBytes);
    throw new HoldfastError('chunk_corrupt', `Pack ${place.packId} has no patch where a map says.`);
  });
}

/** A patched chunk with the patch, or the whole chunk, that lies at `place`. */
async function readSplit(
  repository: Repository,
  reference: SplitReference,
  place: ChunkLocation,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const { codec } = repository;
  const { id } = reference;
  // The base is nearly always where the map says: fetched beside the patch, its id is known only by the patch.
  const [bytes, atBase] = await Promise.all([
    readWhole(repository, place, signal),
    readWhole(repository, reference.base, signal).catch(ifCorrupt(undefined)),
  ]);
  const frame = decodeFrame(bytes);
  if (frame.header.kind === 'data') return await codec.decode(bytes, { kind: 'data', id });
  if (frame.header.kind !== 'patch') throw corrupt(reference, 'has no patch where its map says');
  const patchPlain = await codec.decodeFrame(frame);
  const ofBase = { kind: 'data', id: patchPlain.subarray(0, id.length) } as const;
  const base =
    (atBase && (await codec.decode(atBase, ofBase).catch(ifCorrupt(undefined)))) ??
    (await readFrame(repository, { kind: 'data', reference: { id: ofBase.id, location: reference.base }, signal }));
  const plain = applyPatch(base, decodePatch(patchPlain, base.length));
  if (!codec.idOf('data', plain).equals(id)) throw corrupt(reference, 'does not have the content of its id');
  return plain;
}

async function readWhole(
  repository: Repository,
  { packId, offset, storedBytes }: ChunkLocation,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  return await readRange(repository, { packKind: 'data', packId, offset, length: storedBytes, signal });
}

/** To hand to `catch`: damage becomes `instead`, everything else is thrown. */
function ifCorrupt<Value>(instead: Value): (error: unknown) => Value {
  return (error) => {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return instead;
  };
}

function corrupt(reference: SplitReference, what: string): HoldfastError {
  return new HoldfastError('chunk_corrupt', `Chunk ${reference.id.toString('hex')} ${what}.`);
}
