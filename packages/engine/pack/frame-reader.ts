/**
 * Fetches frames by location and proves them by id: the one way content comes back. A frame that is not at its place, or
 * not whole, is looked for where it was forwarded to. Concurrent reads of one place share nothing; callers that read in
 * bulk coalesce ranges themselves (`readRange`) and come back here for what fails.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import type { FrameKind } from '../codec/frame.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import { type PackKind, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { followForwardings } from './forwardings.ts';

export type FrameReference = { readonly id: Buffer; readonly location: ChunkLocation };

/**
 * Plaintext of one frame.
 * @param request.memory for it as it is stored and for the plaintext, each used if it is long enough; the answer may be a
 *   view of it
 * @throws chunk_corrupt (damaged or missing), repository_damaged (its forwarding is), key_missing, storage errors
 */
export async function readFrame(
  repository: Repository,
  request: {
    readonly kind: FrameKind;
    readonly reference: FrameReference;
    readonly memory?: { readonly stored: Buffer; readonly plain: Buffer } | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Buffer> {
  const { kind, reference, memory, signal } = request;
  const packKind = packKindOf(kind);
  return await followForwardings(repository, reference.location, async ({ packId, offset, storedBytes }) => {
    const range = { packKind, packId, offset, length: storedBytes };
    const bytes = await readRange(repository, { ...range, into: memory?.stored, signal });
    return await repository.codec.decode(bytes, { kind, id: reference.id }, memory?.plain);
  });
}

/** Which packs frames of a kind lie in. */
function packKindOf(kind: FrameKind): PackKind {
  return kind === 'data' || kind === 'patch' ? 'data' : 'meta';
}

/** A range of exactly this pack, complete. @throws chunk_corrupt when pack or range is not there */
export async function readRange(
  repository: Repository,
  request: {
    readonly packKind: PackKind;
    readonly packId: string;
    readonly offset: number;
    readonly length: number;
    /** Memory to use, if it is long enough. */
    readonly into?: Buffer | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Buffer> {
  const { packKind, packId, offset, length, into, signal } = request;
  const key = packKey({ domain: repository.domain, kind: packKind, packId });
  let bytes: Buffer;
  try {
    bytes = await repository.store.get(key, { range: { offset, length }, into, signal });
  } catch (cause) {
    if (!hasCode(cause, 'object_not_found')) throw cause;
    throw new HoldfastError('chunk_corrupt', `Pack ${packId} is missing.`, { cause, facts: { pack: packId } });
  }
  if (bytes.length < length) {
    throw new HoldfastError('chunk_corrupt', `Pack ${packId} is cut short.`, { facts: { pack: packId } });
  }
  return bytes;
}
