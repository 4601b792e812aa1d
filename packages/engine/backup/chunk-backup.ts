/** One chunk of a disk's backup: known, read whole or in part, compared with what was there, stored, entered into the map. */
import type { BlockSource } from '@holdfast/base';
import { subChunkBytes } from '../chunk/chunk-digest.ts';
import { chunksPerPage, type Geometry } from '../chunk/geometry.ts';
import { isAllZero } from '../chunk/zero.ts';
import type { ChunkCodec } from '../codec/chunk-codec.ts';
import type { DiskCounters } from '../manifest/manifest.ts';
import { zeroReference } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { type OpenPage, type PageBuilder, trustedBefore } from './page-builder.ts';
import { type PartialChunk, readOverZeros, readPartly } from './partial-read.ts';
import { type PatchBase, patchLimit } from './patch-base.ts';
import type { NewChunk, UploadSession } from './upload-session.ts';

/** Of one disk; chunks count themselves. */
export type Counters = { -readonly [Name in keyof DiskCounters]: number };

export type ChunkWork = {
  readonly repository: Repository;
  readonly upload: UploadSession;
  readonly source: BlockSource;
  readonly geometry: Geometry;
  readonly pages: PageBuilder;
  readonly counters: Counters;
  readonly open: OpenPage;
  readonly chunk: number;
  /** As long as the chunk. */
  readonly into: Buffer;
  readonly signal: AbortSignal | undefined;
};

/** Settles a chunk whose id is known and whose content the repository has, without reading it. */
export async function takeKnown(options: {
  readonly knownId: (chunk: number) => Promise<Buffer | undefined>;
  readonly upload: UploadSession;
  readonly pages: PageBuilder;
  readonly counters: Counters;
  readonly open: OpenPage;
  readonly chunk: number;
}): Promise<boolean> {
  const { knownId, upload, pages, counters, open, chunk } = options;
  const id = await knownId(chunk);
  if (!id) return false;
  const index = chunk % chunksPerPage;
  const before = trustedBefore(open, index);
  if (before && 'id' in before && before.id.equals(id)) {
    counters.unchanged_chunks += 1;
    pages.setEntry(open, index, before);
    return true;
  }
  const place = await upload.find(id);
  if (!place) return false;
  counters.deduplicated_chunks += 1;
  pages.setEntry(open, index, { kind: 'stored', id, place });
  return true;
}

/** Answers the bytes read. @param isLikelyNew what a patch would build on is looked at while the chunk is read */
export async function backupWhole(work: ChunkWork, isLikelyNew: boolean): Promise<number> {
  const { upload, source, geometry, open, chunk, into, signal } = work;
  const before = trustedBefore(open, chunk % chunksPerPage);
  const reading = source.read({ into, offset: chunk * geometry.chunkBytes, signal });
  const base = isLikelyNew
    ? upload.known.openPatchBase({ before, chunkBytes: into.length, withPatched: false })
    : undefined;
  base?.catch(() => undefined);
  await reading;
  await settleWhole(work, base);
  return into.length;
}

/** @param base what `openPatchBase` answers for the parent's chunk, where it was asked already */
async function settleWhole(work: ChunkWork, base: Promise<PatchBase | undefined> | undefined): Promise<void> {
  const { repository, open, chunk, into } = work;
  if (isAllZero(into)) {
    settleZero(work);
  } else {
    const before = trustedBefore(open, chunk % chunksPerPage);
    await store(work, { digest: repository.codec.digest(into), plain: into, before, base });
  }
}

function settleZero({ pages, counters, open, chunk }: ChunkWork): void {
  counters.zero_chunks += 1;
  pages.setEntry(open, chunk % chunksPerPage, zeroReference);
}

/** Answers the bytes read; undefined when the chunk has to be read whole: too much changed, or there is no base. */
export async function backupPartly(work: ChunkWork, dirty: readonly number[]): Promise<number | undefined> {
  const { repository, upload, source, geometry, open, chunk, into, signal } = work;
  const { codec } = repository;
  const before = trustedBefore(open, chunk % chunksPerPage);
  const offset = chunk * geometry.chunkBytes;
  if (before?.kind === 'zero') {
    const { readBytes, written } = await readOverZeros({ source, codec, offset, dirty, into, signal });
    if (written) await store(work, { digest: written, plain: into, before });
    else settleZero(work);
    return readBytes;
  }
  const limit = patchLimit(subChunkCount(into));
  if (dirty.length > limit) return undefined;
  const base = await upload.known.openPatchBase({ before, chunkBytes: into.length, withPatched: true });
  if (!base || new Set([...base.patched.keys(), ...dirty]).size > limit) return undefined;
  const part = await readPartly({ source, codec, base, offset, length: into.length, dirty, into, signal });
  if (await upload.known.isLost(part.digest.id)) return undefined;
  if (isZeroChunk(part, codec, into.length)) {
    settleZero(work);
  } else {
    const contentOf = (subChunk: number) => part.contents.get(subChunk)!;
    await store(work, { digest: part.digest, base, changed: part.changed, contentOf });
  }
  return part.readBytes;
}

function subChunkCount(chunk: Buffer): number {
  return Math.ceil(chunk.length / subChunkBytes);
}

/** Zero has an entry of its own, also where only the parts that were not zero yet became so. */
function isZeroChunk(part: PartialChunk, codec: ChunkCodec, length: number): boolean {
  for (const content of part.contents.values()) if (!isAllZero(content)) return false;
  return part.digest.id.equals(codec.idOf('data', Buffer.alloc(length)));
}

async function store(work: ChunkWork, stored: NewChunk): Promise<void> {
  const { upload, pages, counters, open, chunk } = work;
  const { id } = stored.digest;
  const index = chunk % chunksPerPage;
  const before = trustedBefore(open, index);
  if (before && 'id' in before && before.id.equals(id)) {
    counters.unchanged_chunks += 1;
    pages.setEntry(open, index, before);
    return;
  }
  const { place, newBytes } = await upload.storeChunk(stored);
  if (newBytes === 0) counters.deduplicated_chunks += 1;
  else counters.new_chunks += 1;
  counters.new_bytes += newBytes;
  pages.setEntry(open, index, { kind: 'stored', id, place });
}
