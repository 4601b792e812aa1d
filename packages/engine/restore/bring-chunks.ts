/** From a place in a pack to its place on a disk: fetches ranges, proves what is inside, writes it. */
import { type BufferSlots, HoldfastError, hasCode, MiB } from '@holdfast/base';
import { chunkLengthAt, type Geometry } from '../chunk/geometry.ts';
import { decodeSlack } from '../codec/chunk-codec.ts';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { DataReference, SplitReference } from '../map/reference-list.ts';
import { readChunk } from '../pack/chunk-reader.ts';
import { type Forwardings, placeName, sharedForwardings } from '../pack/forwardings.ts';
import { readRange } from '../pack/frame-reader.ts';
import { type FetchChunk, type FetchJob, planFetches, type WantedChunk } from './fetch-plan.ts';
import type { RestoreOptions, Tally } from './restore-disk.ts';

/**
 * Chunks that follow each other are written by one call up to here: allocating writes to one file are done one after the
 * other by the file system, and 2700 of 1 MiB took twice the processor of 675 of 4 MiB.
 */
const maximumWriteBytes = 4 * MiB;

/** Memory that one call of `fetchAndWrite` unpacks into. */
export function unpackBytes({ chunkBytes, chunkCount }: Geometry): number {
  return Math.min(Math.max(chunkBytes, maximumWriteBytes), chunkBytes * chunkCount) + decodeSlack;
}

/** A disk that is being restored. */
export type Bringing = {
  readonly options: RestoreOptions;
  readonly geometry: Geometry;
  readonly tally: Tally;
};

export type FetchRequest = Bringing & {
  /** `origins`: what the map said of chunks that are fetched from where they were forwarded to, by their new place. */
  readonly job: FetchJob & { readonly origins?: ReadonlyMap<string, DataReference> };
  /** `unpacked`: of `unpackBytes`. */
  readonly memory: { readonly ranges: BufferSlots; readonly unpacked: BufferSlots };
};

/** @throws chunk_corrupt unless with best effort, target errors, storage errors */
export async function fetchAndWrite(request: FetchRequest): Promise<void> {
  const { job, geometry, tally, memory } = request;
  const isThere = await memory.ranges.with(async (into) => {
    const range = await fetchRange(request, into);
    if (!range) return false;
    tally.fetchedBytes += job.length;
    for (const run of runsOf(job.chunks, geometry)) {
      await memory.unpacked.with(async (slot) => await unpackAndWrite({ ...request, run, range, slot }));
    }
    return true;
  });
  if (!isThere) await fetchMoved(request);
}

/**
 * Chunks that follow each other on the disk, each at one place, as many as are written together; others alone. In a pack they
 * lie in the order in which their packing ended.
 */
function* runsOf(chunks: readonly FetchChunk[], { chunkBytes }: Geometry): Generator<readonly FetchChunk[]> {
  const most = Math.max(1, Math.floor(maximumWriteBytes / chunkBytes));
  let run: FetchChunk[] = [];
  for (const next of chunks.toSorted((a, b) => a.chunks[0]! - b.chunks[0]!)) {
    const last = run.at(-1);
    const follows = last?.chunks.length === 1 && next.chunks.length === 1 && next.chunks[0] === last.chunks[0]! + 1;
    if (last && (!follows || run.length === most)) {
      yield run;
      run = [];
    }
    run.push(next);
  }
  if (run.length > 0) yield run;
}

/** Undefined when the pack is not there or is cut short. */
async function fetchRange({ options, job }: FetchRequest, into: Buffer): Promise<Buffer | undefined> {
  const { packId, offset, length } = job;
  try {
    const { repository, signal } = options;
    return await readRange(repository, { packKind: 'data', packId, offset, length, into, signal });
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return undefined;
  }
}

async function unpackAndWrite(
  request: FetchRequest & { readonly run: readonly FetchChunk[]; readonly range: Buffer; readonly slot: Buffer },
): Promise<void> {
  const { geometry, tally, run, range, slot } = request;
  const { chunkBytes } = geometry;
  // What is unpacked and not yet written lies in the slot from `start` to `end`, from this chunk on.
  let [start, end, first] = [0, 0, 0];
  const writeOut = async (): Promise<void> => {
    if (end > start) await writeChunks(request, { chunk: first, plain: slot.subarray(start, end) });
    start = end;
  };
  for (const [index, fetch] of run.entries()) {
    const at = index * chunkBytes;
    const plain = await unpack(request, { fetch, range, into: slot.subarray(at, at + chunkBytes + decodeSlack) });
    if (!plain) {
      await writeOut();
      await fetchSingle({ ...request, fetch });
      continue;
    }
    const [chunk] = fetch.chunks;
    if (run.length === 1 || chunk === undefined) {
      await bring(tally, fetch.chunks, async () => await writeEverywhere(request, { fetch, plain }));
      continue;
    }
    await bring(tally, fetch.chunks, async () => {
      refuseWrongLength(geometry, chunk, plain);
      if (end !== at || start === end) {
        await writeOut();
        [start, end, first] = [at, at, chunk];
      }
      if (plain.buffer !== slot.buffer || plain.byteOffset !== slot.byteOffset + at) plain.copy(slot, at);
      end = at + plain.length;
    });
  }
  await writeOut();
}

/** Undefined when it is not what the reference said. */
async function unpack(
  { options, job }: FetchRequest,
  { fetch, range, into }: { readonly fetch: FetchChunk; readonly range: Buffer; readonly into: Buffer },
): Promise<Buffer | undefined> {
  const { location, id } = fetch.reference;
  const start = location.offset - job.offset;
  try {
    const bytes = range.subarray(start, start + location.storedBytes);
    return await options.repository.codec.decode(bytes, { kind: 'data', id }, into);
  } catch (error) {
    if (!hasCode(error, 'chunk_corrupt')) throw error;
    return undefined;
  }
}

/**
 * A pack that is not there, or is cut short: what was forwarded is fetched range by range from where it is now. What that
 * does not bring is tried place by place.
 */
async function fetchMoved(request: FetchRequest): Promise<void> {
  const { options, job } = request;
  const forwardings = sharedForwardings(options.repository);
  const moved: WantedChunk[] = [];
  const origins = new Map<string, DataReference>();
  for (const fetch of job.chunks) {
    const { reference, chunks } = fetch;
    const places = job.origins ? [] : await placesAfter(forwardings, reference.location);
    const location = places.at(-1);
    if (location) {
      origins.set(placeName(location), reference);
      moved.push(...chunks.map((chunk) => ({ chunk, reference: { ...reference, location } })));
    } else await fetchSingle({ ...request, fetch });
  }
  for (const next of planFetches(moved)) await fetchAndWrite({ ...request, job: { ...next, origins } });
}

/** None when a forwarding cannot be read: whoever asks for the chunk alone meets that. */
async function placesAfter(forwardings: Forwardings, from: ChunkLocation): Promise<readonly ChunkLocation[]> {
  try {
    return await Array.fromAsync(forwardings.chain(from));
  } catch (error) {
    if (!hasCode(error, 'repository_damaged')) throw error;
    return [];
  }
}

/** One chunk, wherever it is. @throws chunk_corrupt when it is nowhere, unless with best effort */
async function fetchSingle(request: FetchRequest & { readonly fetch: FetchChunk }): Promise<void> {
  const { options, job, tally, fetch } = request;
  const reference = job.origins?.get(placeName(fetch.reference.location)) ?? fetch.reference;
  await bring(tally, fetch.chunks, async () => {
    const plain = await readChunk(options.repository, { reference, signal: options.signal });
    tally.fetchedBytes += reference.location.storedBytes;
    await writeEverywhere(request, { fetch, plain });
  });
}

/** One patched chunk. @throws chunk_corrupt unless with best effort, target errors, storage errors */
export async function writePatched(
  bringing: Bringing,
  { chunk, reference }: { readonly chunk: number; readonly reference: SplitReference },
): Promise<void> {
  const { options, geometry, tally } = bringing;
  await bring(tally, [chunk], async () => {
    const plain = await readChunk(options.repository, { reference, signal: options.signal });
    tally.fetchedBytes += reference.base.storedBytes + reference.patch.storedBytes;
    refuseWrongLength(geometry, chunk, plain);
    await writeChunks(bringing, { chunk, plain });
  });
}

/** Brings chunks; with best effort, those that cannot be read are noted, and it is no error. */
async function bring(tally: Tally, chunks: readonly number[], run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!tally.lost || !hasCode(error, 'chunk_corrupt', 'repository_damaged')) throw error;
    for (const chunk of chunks) tally.lost.add(chunk, error.message);
  }
}

async function writeEverywhere(
  bringing: Bringing,
  { fetch, plain }: { readonly fetch: FetchChunk; readonly plain: Buffer },
): Promise<void> {
  for (const chunk of fetch.chunks) {
    refuseWrongLength(bringing.geometry, chunk, plain);
    await writeChunks(bringing, { chunk, plain });
  }
}

function refuseWrongLength(geometry: Geometry, chunk: number, plain: Buffer): void {
  if (plain.length === chunkLengthAt(geometry, chunk)) return;
  throw new HoldfastError('chunk_corrupt', `Chunk ${chunk} has ${plain.length} bytes, which does not fit its place.`);
}

/** @param at.chunk the first of those that `plain` is made of */
async function writeChunks(
  { options, geometry, tally }: Bringing,
  { chunk, plain }: { readonly chunk: number; readonly plain: Buffer },
): Promise<void> {
  await options.target.write({ from: plain, offset: chunk * geometry.chunkBytes, signal: options.signal });
  tally.writtenBytes += plain.length;
}
