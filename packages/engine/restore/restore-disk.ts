/**
 * Brings one disk of a point back onto a target: many fetches in flight, writes out of order, every chunk proved by its
 * id before it is written. On a target that already holds something, only what differs is written; run again after an
 * interruption it goes on where it was.
 */
import { availableParallelism } from 'node:os';
import {
  type BlockTarget,
  BufferSlots,
  type Extent,
  formatBytes,
  HoldfastError,
  hasCode,
  runLanes,
} from '@holdfast/base';
import { chunkLengthAt, chunksPerPage, type Geometry } from '../chunk/geometry.ts';
import { isAllZero } from '../chunk/zero.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import type { DataReference, Reference, SplitReference } from '../map/reference-list.ts';
import type { Repository } from '../repository/repository.ts';
import { openReaderSession } from '../session/session.ts';
import { fetchAndWrite, unpackBytes, writePatched } from './bring-chunks.ts';
import { type FetchJob, maximumRangeBytes, planFetches, type WantedChunk } from './fetch-plan.ts';
import { UnreadableChunks, type UnreadableRange } from './unreadable-chunks.ts';

/** Hides the latency of a network storage (PBS measured 1 -> 16 fetches: 557 -> 1514 MB/s). */
const fetchLanes = 16;
/** Chunks in decompression, verification or writing at once. */
const decodeSlots = Math.min(16, 2 * availableParallelism() + 4);
/** Pages planned together: 4 GiB of disk at 1 MiB chunks. */
const pagesPerWindow = 16;

export type RestoreProgress = {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly fetchedBytes: number;
};

export type RestoreOutcome = {
  readonly sizeBytes: number;
  /** Written with content. */
  readonly writtenBytes: number;
  /** Made zero, or left as the zeros they were. */
  readonly zeroBytes: number;
  /** Found right on the target and left alone. */
  readonly keptBytes: number;
  /** Read from the storage. */
  readonly fetchedBytes: number;
  /** With best effort: what was left as it was on the target. */
  readonly unreadable: readonly UnreadableRange[];
};

/** Of a restore that is under way. */
export type Tally = { -readonly [Name in Exclude<keyof RestoreOutcome, 'unreadable'>]: number } & {
  /** With best effort. */
  readonly lost: UnreadableChunks | undefined;
};

export type RestoreOptions = {
  readonly repository: Repository;
  readonly point: RestorePoint;
  /** Name of the disk; may be left out when the point has one. */
  readonly disk?: string | undefined;
  readonly target: BlockTarget;
  /**
   * What cannot be read is left out and reported, instead of being an error: it stays as it is on the target, which on a
   * fresh one is zeros.
   */
  readonly bestEffort?: boolean | undefined;
  readonly onProgress?: ((progress: RestoreProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

/**
 * The target is flushed afterwards. Cancel or failure leaves it partly written.
 * @throws disk_not_found, target_too_small, chunk_corrupt, target errors, storage errors
 */
export async function restoreDisk(options: RestoreOptions): Promise<RestoreOutcome> {
  const { repository, point, target, signal } = options;
  await using _session = await openReaderSession({ repository, point, signal });
  const map = await openMapOrNone(options);
  if ('unreadable' in map) return map;
  const { geometry } = map;
  if (target.sizeBytes < geometry.sizeBytes) {
    throw new HoldfastError(
      'target_too_small',
      `The disk has ${formatBytes(geometry.sizeBytes)}, the target ${formatBytes(target.sizeBytes)}.`,
      { facts: { disk_bytes: geometry.sizeBytes, target_bytes: target.sizeBytes } },
    );
  }
  const lost = options.bestEffort ? new UnreadableChunks(geometry) : undefined;
  const tally: Tally = { ...nothing, sizeBytes: geometry.sizeBytes, lost };
  const report = () =>
    options.onProgress?.({
      doneBytes: tally.writtenBytes + tally.zeroBytes + tally.keptBytes + (lost?.bytes ?? 0),
      totalBytes: geometry.sizeBytes,
      fetchedBytes: tally.fetchedBytes,
    });
  // A disk of few chunks never has more under way.
  const slots = (most: number): number => Math.min(most, geometry.chunkCount);
  const memory = {
    ranges: new BufferSlots({ slots: slots(fetchLanes), slotBytes: longestRangeBytes(geometry) }),
    unpacked: new BufferSlots({ slots: slots(decodeSlots), slotBytes: unpackBytes(geometry) }),
  };
  await runLanes({
    jobs: restoreJobs({ options, map, tally, report }),
    lanes: fetchLanes,
    signal,
    run: async (job) => {
      if ('reference' in job) await writePatched({ options, geometry, tally }, job);
      else await fetchAndWrite({ options, geometry, job, tally, memory });
      report();
    },
  });
  await target.flush();
  const { lost: _, ...outcome } = tally;
  return { ...outcome, unreadable: lost?.ranges() ?? [] };
}

const nothing = { writtenBytes: 0, zeroBytes: 0, keptBytes: 0, fetchedBytes: 0 };

/** With best effort, a disk whose map is lost is one that is not readable at all. */
async function openMapOrNone(options: RestoreOptions): Promise<MapReader | RestoreOutcome> {
  try {
    return await openDiskMap(options);
  } catch (error) {
    if (!options.bestEffort || !hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
    const { disks } = options.point.manifest;
    const { size_bytes: sizeBytes } = disks.find(({ name }) => name === options.disk) ?? disks[0]!;
    return { ...nothing, sizeBytes, unreadable: [{ offset: 0, length: sizeBytes, reason: error.message }] };
  }
}

/** Of a small disk less than the most: frames are a little longer than chunks, gaps are at most a chunk (fetch-plan.ts). */
function longestRangeBytes({ chunkCount, chunkBytes }: Geometry): number {
  return Math.min(maximumRangeBytes, 3 * chunkCount * chunkBytes);
}

/** The map of a disk of a point. @throws disk_not_found, chunk_corrupt */
export async function openDiskMap(options: {
  readonly repository: Repository;
  readonly point: RestorePoint;
  readonly disk?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}): Promise<MapReader> {
  const { repository, point, disk, signal } = options;
  const { manifest } = point;
  const names = manifest.disks.map(({ name }) => name).join(', ');
  if (disk === undefined && manifest.disks.length > 1) {
    throw new HoldfastError('disk_not_found', `The point has several disks (${names}).`);
  }
  const index = disk === undefined ? 0 : manifest.disks.findIndex(({ name }) => name === disk);
  const root = manifest.roots[index];
  if (!root) throw new HoldfastError('disk_not_found', `The point has no disk ${disk}; it has ${names}.`);
  return await MapReader.open(repository, { root, signal });
}

type Work = {
  readonly options: RestoreOptions;
  readonly map: MapReader;
  readonly tally: Tally;
  readonly report: () => void;
};

/** A chunk that has to be brought, and the map's entry of it. */
type Wanted = { readonly chunk: number; readonly reference: DataReference | SplitReference };
type Patched = Wanted & { readonly reference: SplitReference };
type RestoreJob = FetchJob | Patched;

function isWhole(wanted: Wanted): wanted is WantedChunk {
  return wanted.reference.kind === 'data';
}

function isPatched(wanted: Wanted): wanted is Patched {
  return wanted.reference.kind === 'split';
}

/** Goes through the map in windows; settles zeros and what is right already, yields what must be fetched. */
async function* restoreJobs(work: Work): AsyncGenerator<RestoreJob> {
  const { map, options } = work;
  for (let page = 0; page < map.geometry.pageCount; page += pagesPerWindow) {
    const entries: Reference[] = [];
    const end = Math.min(page + pagesPerWindow, map.geometry.pageCount);
    for (let next = page; next < end; next += 1) entries.push(...(await entriesOf(work, next)));
    const first = page * chunksPerPage;
    const { target } = options;
    const wanted =
      target.fresh || !target.read ? await takeAll(work, entries, first) : await takeDiffering(work, entries, first);
    if (target.fresh) target.reserve?.(rangesOf(wanted, map.geometry));
    yield* planFetches(wanted.filter(isWhole));
    yield* wanted.filter(isPatched);
    work.report();
  }
}

/** Chunks that follow each other are one range. */
function rangesOf(wanted: readonly Wanted[], geometry: Geometry): readonly Extent[] {
  const ranges: { offset: number; length: number }[] = [];
  for (const { chunk } of wanted) {
    const offset = chunk * geometry.chunkBytes;
    const length = chunkLengthAt(geometry, chunk);
    const last = ranges.at(-1);
    if (last && last.offset + last.length === offset) last.length += length;
    else ranges.push({ offset, length });
  }
  return ranges;
}

/** With best effort, entries of a page that is lost are BAD, and noted. */
async function entriesOf({ map, options, tally }: Work, page: number): Promise<readonly Reference[]> {
  const first = page * chunksPerPage;
  let entries: readonly Reference[];
  try {
    entries = await map.page(page, options.signal);
  } catch (error) {
    if (!tally.lost || !hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
    const count = Math.min(chunksPerPage, map.geometry.chunkCount - first);
    for (let index = 0; index < count; index += 1) tally.lost.add(first + index, error.message);
    return Array.from({ length: count }, () => ({ kind: 'bad', reason: 2 }) as const);
  }
  for (const [index, { kind }] of entries.entries()) if (kind === 'bad') noteBad(options, tally, first + index);
  return entries;
}

/** @throws chunk_corrupt, unless with best effort */
function noteBad({ point }: RestoreOptions, { lost }: Tally, chunk: number): void {
  const sentence = `Chunk ${chunk} of point ${point.manifest.id} is recorded as unreadable.`;
  if (!lost) throw new HoldfastError('chunk_corrupt', sentence);
  lost.add(chunk, sentence);
}

/** Nothing on the target is looked at: zeros are written as zeros unless it is fresh. */
async function takeAll(work: Work, entries: readonly Reference[], first: number): Promise<Wanted[]> {
  const { options, map, tally } = work;
  const { target, signal } = options;
  const wanted: Wanted[] = [];
  for (let index = 0; index < entries.length; ) {
    const reference = entries[index]!;
    if (reference.kind !== 'zero') {
      if (reference.kind !== 'bad') wanted.push({ chunk: first + index, reference });
      index += 1;
      continue;
    }
    let end = index + 1;
    while (entries[end]?.kind === 'zero') end += 1;
    const offset = (first + index) * map.geometry.chunkBytes;
    const length = Math.min(map.geometry.sizeBytes, (first + end) * map.geometry.chunkBytes) - offset;
    if (!target.fresh) await target.zero({ offset, length, signal });
    tally.zeroBytes += length;
    index = end;
  }
  return wanted;
}

/** Reads the target and keeps what is right. */
async function takeDiffering(work: Work, entries: readonly Reference[], first: number): Promise<Wanted[]> {
  const { options, map, tally, report } = work;
  const { repository, target, signal } = options;
  const { geometry } = map;
  const wanted: Wanted[] = [];
  const lanes = target.concurrency;
  const buffers = Array.from({ length: lanes }, () => Buffer.allocUnsafeSlow(geometry.chunkBytes));
  await runLanes({
    jobs: entries.entries(),
    lanes,
    signal,
    run: async ([index, reference], lane) => {
      if (reference.kind === 'bad') return;
      const chunk = first + index;
      const into = buffers[lane]!.subarray(0, chunkLengthAt(geometry, chunk));
      const offset = chunk * geometry.chunkBytes;
      await target.read!({ into, offset, signal });
      if (reference.kind === 'zero') {
        if (!isAllZero(into)) await target.zero({ offset, length: into.length, signal });
        tally.zeroBytes += into.length;
      } else if (repository.codec.idOf('data', into).equals(reference.id)) tally.keptBytes += into.length;
      else wanted.push({ chunk, reference });
      report();
    },
  });
  return wanted;
}
