/**
 * One disk of a backup: plan, read, compare, store, map. Chunks (chunk-backup.ts) run side by side in lanes; memory is a chunk buffer and
 * its compressed copy a lane, whatever the disk's size.
 */
import { availableParallelism } from 'node:os';
import { type BlockSource, type Extent, runLanes } from '@holdfast/base';
import type { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, chunksPerPage, type Geometry, geometryOf } from '../chunk/geometry.ts';
import type { DiskCounters } from '../manifest/manifest.ts';
import type { MapReader } from '../map/map-reader.ts';
import { zeroReference } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { ChangedBlocks } from './changed-blocks.ts';
import { backupPartly, backupWhole, type Counters, takeKnown } from './chunk-backup.ts';
import { planChunks } from './chunk-plan.ts';
import { checkCleanSample, chooseCleanSample, findCleanEnds } from './clean-sample.ts';
import { distrustedChunks, type OpenPage, PageBuilder } from './page-builder.ts';
import type { UploadSession } from './upload-session.ts';

/** Two chunks a core in compression and a few in reading; more only costs memory. */
export const chunkLanes = Math.min(32, 2 * availableParallelism() + 2);

export type DiskInput = {
  /** Device name in the guest (`vda`). */
  readonly name: string;
  readonly source: BlockSource;
  readonly chunkBytes: number;
  /** Extents changed since the parent; absent: unknown, so everything is read. */
  readonly changed?: AsyncIterable<Extent> | Iterable<Extent> | undefined;
  /** See `BackupDisk`. */
  readonly changesProved?: boolean | undefined;
  readonly knownId?: ((chunk: number) => Promise<Buffer | undefined>) | undefined;
  /** Map of this disk in the parent, if it has the same chunk size. */
  readonly parent?: MapReader | undefined;
  /** Nothing of the parent leads into quarantine. */
  readonly isParentTrusted: boolean;
};

export type DiskOutcome = {
  readonly geometry: Geometry;
  readonly pages: PageBuilder;
  readonly counters: DiskCounters;
  /** Set when `changed` was given and not believed. */
  readonly distrusted: string | undefined;
};

/** What was done since the last call: bytes of the disk that are settled, and how many of them were read. */
export type OnDiskProgress = (step: { readonly doneBytes: number; readonly readBytes: number }) => void;

export async function backupDisk(options: {
  readonly repository: Repository;
  readonly upload: UploadSession;
  readonly disk: DiskInput;
  readonly onProgress?: OnDiskProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<DiskOutcome> {
  const { repository, upload, disk, signal } = options;
  const { source, parent, isParentTrusted } = disk;
  const geometry = geometryOf({ sizeBytes: source.sizeBytes, chunkBytes: disk.chunkBytes });
  const pages = new PageBuilder({ upload, geometry, parent, isTrusted: isParentTrusted });
  const counters: Counters = {
    read_bytes: 0,
    zero_chunks: 0,
    unchanged_chunks: 0,
    deduplicated_chunks: 0,
    new_chunks: 0,
    new_bytes: 0,
  };
  let changed =
    disk.changed && parent
      ? await ChangedBlocks.from({ extents: disk.changed, geometry, parent: parent.geometry })
      : undefined;
  if (changed && parent && !isParentTrusted) {
    for (const chunk of await distrustedChunks(upload, parent, signal)) {
      if (chunk < geometry.chunkCount) changed.addChunk(chunk);
    }
  }
  let distrusted: string | undefined;
  if (changed && parent && !disk.changesProved) {
    const ends = await findCleanEnds(changed.chunks, parent, signal);
    const chunks = chooseCleanSample(changed.chunks, ends);
    const sample = await checkCleanSample({ source, geometry, parent, codec: repository.codec, chunks, signal });
    counters.read_bytes += sample.readBytes;
    if (sample.mismatch !== undefined) {
      distrusted = `clean_sample_mismatch at chunk ${sample.mismatch}`;
      changed = undefined;
    } else if (ends) {
      await addBehind({ changed, parent, last: ends.last, signal });
    }
  }

  const work = { repository, upload, source, geometry, pages, counters, signal };
  // Parts of chunks wait more than they compute, and need little memory.
  const lanes = changed ? 2 * chunkLanes : chunkLanes;
  const buffers = Array.from({ length: lanes }, () => Buffer.allocUnsafeSlow(geometry.chunkBytes));
  await runLanes({
    jobs: pageJobs({ disk, geometry, changed, pages, counters, signal, onProgress: options.onProgress }),
    lanes,
    signal,
    run: async ({ open, chunk }, lane) => {
      if (disk.knownId && (await takeKnown({ knownId: disk.knownId, upload, pages, counters, open, chunk }))) {
        options.onProgress?.({ doneBytes: chunkLengthAt(geometry, chunk), readBytes: 0 });
        await pages.writeReadyPages();
        return;
      }
      const into = buffers[lane]!.subarray(0, chunkLengthAt(geometry, chunk));
      const request = { ...work, open, chunk, into };
      const dirty = changed?.subChunksOf(chunk);
      const readBytes = (dirty && (await backupPartly(request, dirty))) ?? (await backupWhole(request, Boolean(dirty)));
      counters.read_bytes += readBytes;
      options.onProgress?.({ doneBytes: into.length, readBytes });
      await pages.writeReadyPages();
    },
  });
  for (let page = geometry.pageCount; page < (parent?.geometry.pageCount ?? 0); page += 1) {
    await pages.dropPage(page, signal);
  }
  return { geometry, pages, counters, distrusted };
}

/**
 * What changed only in part behind the last clean chunk with content is read as a whole: should the disk's end have been cut
 * off there and have grown again, the rest of it is zero without a note in the bitmap (clean-sample.ts).
 */
async function addBehind(options: {
  readonly changed: ChangedBlocks;
  readonly parent: MapReader;
  readonly last: number;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { changed, parent, last, signal } = options;
  const { chunkCount } = changed.chunks;
  const firstPage = Math.floor((last + 1) / chunksPerPage);
  const pageCount = Math.min(parent.geometry.pageCount, Math.ceil(chunkCount / chunksPerPage));
  for (let page = firstPage; page < pageCount; page += 1) {
    if (parent.pageReference(page).kind === 'zero') continue;
    for (const [index, entry] of (await parent.page(page, signal)).entries()) {
      const chunk = page * chunksPerPage + index;
      if (chunk > last && chunk < chunkCount && entry.kind !== 'zero' && changed.chunks.has(chunk)) {
        changed.addChunk(chunk);
      }
    }
  }
}

/** Opens pages as the plan reaches them, settles what needs no reading, and yields the rest. */
async function* pageJobs(options: {
  readonly disk: DiskInput;
  readonly geometry: Geometry;
  readonly changed: ChangedBlocks | undefined;
  readonly pages: PageBuilder;
  readonly counters: Counters;
  readonly onProgress: OnDiskProgress | undefined;
  readonly signal: AbortSignal | undefined;
}): AsyncGenerator<{ readonly open: OpenPage; readonly chunk: number }> {
  const { disk, geometry, changed, pages, counters, onProgress, signal } = options;
  let open: OpenPage | undefined;
  let nextPage = 0;
  const keepUntil = (page: number) => {
    for (; nextPage < page; nextPage += 1) {
      const count = Math.min(chunksPerPage, geometry.chunkCount - nextPage * chunksPerPage);
      counters.unchanged_chunks += count;
      pages.keepPage(nextPage);
      onProgress?.({ doneBytes: count * geometry.chunkBytes, readBytes: 0 });
    }
  };
  for await (const { chunk, zero } of planChunks({ source: disk.source, geometry, changed: changed?.chunks, signal })) {
    const page = Math.floor(chunk / chunksPerPage);
    if (open?.page !== page) {
      keepUntil(page);
      open = await pages.openPage(page, signal);
      if (changed) fetchNextPage({ disk, geometry, changed: changed.chunks, page, signal });
      nextPage = page + 1;
      if (changed) keepCleanEntries({ open, geometry, changed: changed.chunks, pages, counters, onProgress });
    }
    if (!zero) yield { open, chunk };
    else {
      counters.zero_chunks += 1;
      pages.setEntry(open, chunk % chunksPerPage, zeroReference);
      onProgress?.({ doneBytes: chunkLengthAt(geometry, chunk), readBytes: 0 });
      if (open.missing === 0) await pages.writeReadyPages();
    }
  }
  keepUntil(geometry.pageCount);
}

/** Has the parent's page of the next change on its way while this one is worked on. */
function fetchNextPage(options: {
  readonly disk: DiskInput;
  readonly geometry: Geometry;
  readonly changed: ChunkSet;
  readonly page: number;
  readonly signal: AbortSignal | undefined;
}): void {
  const { disk, geometry, changed, page, signal } = options;
  const { parent } = disk;
  if (!parent) return;
  const pageCount = Math.min(geometry.pageCount, parent.geometry.pageCount);
  for (let next = page + 1; next < pageCount; next += 1) {
    const first = next * chunksPerPage;
    if (!changed.hasAny(first, Math.min(first + chunksPerPage, geometry.chunkCount))) continue;
    // Whoever needs the page is told of the failure.
    parent.page(next, signal).catch(() => undefined);
    return;
  }
}

function keepCleanEntries(options: {
  readonly open: OpenPage;
  readonly geometry: Geometry;
  readonly changed: ChunkSet;
  readonly pages: PageBuilder;
  readonly counters: Counters;
  readonly onProgress: OnDiskProgress | undefined;
}): void {
  const { open, geometry, changed, pages, counters, onProgress } = options;
  for (let index = 0; index < open.entries.length; index += 1) {
    const chunk = open.page * chunksPerPage + index;
    if (changed.has(chunk)) continue;
    counters.unchanged_chunks += 1;
    pages.setEntry(open, index, open.before[index]!);
    onProgress?.({ doneBytes: chunkLengthAt(geometry, chunk), readBytes: 0 });
  }
}
