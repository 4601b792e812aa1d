/**
 * One disk of a backup: plan, read, compare, store, map. Chunks run side by side in lanes; memory is a chunk buffer and
 * its compressed copy a lane, whatever the disk's size.
 */
import { availableParallelism } from 'node:os';
import { type BlockSource, type Extent, HoldfastError, runLanes } from '@holdfast/base';
import { ChunkSet } from '../chunk/chunk-set.ts';
import { chunkLengthAt, chunksPerPage, type Geometry, geometryOf } from '../chunk/geometry.ts';
import { isAllZero } from '../chunk/zero.ts';
import type { DiskCounters } from '../manifest/manifest.ts';
import type { MapReader } from '../map/map-reader.ts';
import { zeroReference } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { planChunks } from './chunk-plan.ts';
import { checkCleanSample, chooseCleanSample } from './clean-sample.ts';
import { type OpenPage, PageBuilder } from './page-builder.ts';
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
  /** Map of this disk in the parent, if it has the same chunk size. */
  readonly parent?: MapReader | undefined;
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

type Counters = { -readonly [Name in keyof DiskCounters]: number };

export async function backupDisk(options: {
  readonly repository: Repository;
  readonly upload: UploadSession;
  readonly disk: DiskInput;
  readonly onProgress?: OnDiskProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<DiskOutcome> {
  const { repository, upload, disk, signal } = options;
  const { source, parent } = disk;
  const geometry = geometryOf({ sizeBytes: source.sizeBytes, chunkBytes: disk.chunkBytes });
  const pages = new PageBuilder({ upload, geometry, parent });
  const counters: Counters = {
    read_bytes: 0,
    zero_chunks: 0,
    unchanged_chunks: 0,
    deduplicated_chunks: 0,
    new_chunks: 0,
    new_bytes: 0,
  };
  let changed = disk.changed && parent ? await foldChanges(disk.changed, geometry, parent) : undefined;
  let distrusted: string | undefined;
  if (changed && parent) {
    const sample = await checkCleanSample({
      source,
      geometry,
      parent,
      codec: repository.codec,
      chunks: chooseCleanSample(changed),
      signal,
    });
    counters.read_bytes += sample.readBytes;
    if (sample.mismatch !== undefined) {
      distrusted = `clean_sample_mismatch at chunk ${sample.mismatch}`;
      changed = undefined;
    }
  }

  const buffers = Array.from({ length: chunkLanes }, () => Buffer.allocUnsafeSlow(geometry.chunkBytes));
  await runLanes({
    jobs: pageJobs({ disk, geometry, changed, pages, counters, signal, onProgress: options.onProgress }),
    lanes: chunkLanes,
    signal,
    run: async ({ open, chunk }, lane) => {
      const index = chunk % chunksPerPage;
      const into = buffers[lane]!.subarray(0, chunkLengthAt(geometry, chunk));
      await source.read({ into, offset: chunk * geometry.chunkBytes, signal });
      counters.read_bytes += into.length;
      if (isAllZero(into)) {
        counters.zero_chunks += 1;
        pages.setEntry(open, index, zeroReference);
      } else {
        const digest = repository.codec.digest(into);
        const before = open.before[index];
        if (before && 'id' in before && before.id.equals(digest.id)) {
          counters.unchanged_chunks += 1;
          pages.setEntry(open, index, before);
        } else {
          const { place, newBytes } = await upload.storeChunk({ digest, plain: into, before });
          if (newBytes === 0) counters.deduplicated_chunks += 1;
          else counters.new_chunks += 1;
          counters.new_bytes += newBytes;
          pages.setEntry(open, index, { kind: 'stored', id: digest.id, place });
        }
      }
      options.onProgress?.({ doneBytes: into.length, readBytes: into.length });
      await pages.writeReadyPages();
    },
  });
  for (let page = geometry.pageCount; page < (parent?.geometry.pageCount ?? 0); page += 1) {
    await pages.dropPage(page, signal);
  }
  return { geometry, pages, counters, distrusted };
}

/** Chunks to look at: what the extents touch, and whatever the parent cannot speak for because the disk was resized. */
async function foldChanges(
  extents: AsyncIterable<Extent> | Iterable<Extent>,
  geometry: Geometry,
  parent: MapReader,
): Promise<ChunkSet> {
  const changed = new ChunkSet(geometry.chunkCount);
  for await (const extent of extents) {
    const { offset, length } = extent;
    if (
      !Number.isSafeInteger(offset) ||
      !Number.isSafeInteger(length) ||
      offset < 0 ||
      length < 0 ||
      offset + length > geometry.sizeBytes
    ) {
      throw new HoldfastError(
        'changed_extents_invalid',
        `Changed extent ${offset}+${length} is not inside the disk of ${geometry.sizeBytes} bytes.`,
      );
    }
    changed.addTouched(extent, geometry);
  }
  for (let chunk = 0; chunk < geometry.chunkCount; chunk += 1) {
    const known =
      chunk < parent.geometry.chunkCount && chunkLengthAt(parent.geometry, chunk) === chunkLengthAt(geometry, chunk);
    if (!known) changed.add(chunk);
  }
  // A page that lost its end must be written anew, though all that is left of it is clean.
  if (geometry.chunkCount > 0 && geometry.chunkCount < parent.geometry.chunkCount) changed.add(geometry.chunkCount - 1);
  return changed;
}

/** Opens pages as the plan reaches them, settles what needs no reading, and yields the rest. */
async function* pageJobs(options: {
  readonly disk: DiskInput;
  readonly geometry: Geometry;
  readonly changed: ChunkSet | undefined;
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
  for await (const { chunk, zero } of planChunks({ source: disk.source, geometry, changed, signal })) {
    const page = Math.floor(chunk / chunksPerPage);
    if (open?.page !== page) {
      keepUntil(page);
      open = await pages.openPage(page, signal);
      nextPage = page + 1;
      if (changed) keepCleanEntries({ open, geometry, changed, pages, counters, onProgress });
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
