/**
 * Walks every map of a point and proves that each entry leads to the content it names: the slot it points at, or one that
 * it was forwarded to, is listed in the pack's directory under the same id, and was not found bad.
 */
import { HoldfastError } from '@holdfast/base';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { RestorePoint } from '../manifest/points.ts';
import { MapReader } from '../map/map-reader.ts';
import type { DataReference, Reference, SplitReference } from '../map/reference-list.ts';
import { readChunk } from '../pack/chunk-reader.ts';
import { readFrame } from '../pack/frame-reader.ts';
import type { Forwardings, SlotPlace } from '../pack/forwardings.ts';
import { readPackDirectory } from '../pack/pack-directory.ts';
import type { PackSlot } from '../pack/pack-format.ts';
import { packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';

/** Directories of neighbouring packs are asked for again and again: about 10 KiB each. */
const cachedDirectories = 512;
/** A point with more than this many problems is lost anyway; the rest is counted. */
const namedProblems = 20;

export type MapCheckerOptions = {
  readonly repository: Repository;
  /** As listed for this run. */
  readonly forwardings: Forwardings;
  /** Found unreadable. */
  readonly isBad: (place: SlotPlace) => boolean;
  /** `prove`: every patch is read and put on its base. `trust`: it is enough that both are listed, and not bad. */
  readonly patches: 'prove' | 'trust';
};

export class MapChecker {
  readonly #repository: Repository;
  readonly #options: MapCheckerOptions;
  /** Points share most of their patched chunks. */
  readonly #provedPatches = new Set<string>();
  readonly #directories = new Map<string, Promise<readonly PackSlot[] | HoldfastError>>();

  constructor(options: MapCheckerOptions) {
    this.#repository = options.repository;
    this.#options = options;
  }

  /** Sentences; none when every chunk of the point can be had back. @throws storage errors */
  async problemsOf(point: RestorePoint, signal?: AbortSignal): Promise<string[]> {
    const { manifest } = point;
    const problems: string[] = [];
    let more = 0;
    const note = (problem: string) => {
      if (problems.length < namedProblems) problems.push(problem);
      else more += 1;
    };
    if (manifest.guest_configuration) {
      const request = { kind: 'guestConfiguration', reference: manifest.guest_configuration, signal } as const;
      await attempt(note, 'guest configuration', async () => void (await readFrame(this.#repository, request)));
    }
    for (const [index, disk] of manifest.disks.entries()) {
      await attempt(note, `disk ${disk.name}`, async () => {
        const map = await MapReader.open(this.#repository, { root: manifest.roots[index]!, signal });
        for (let page = 0; page < map.geometry.pageCount; page += 1) {
          signal?.throwIfAborted();
          await attempt(note, `disk ${disk.name}, map page ${page}`, async () => {
            for (const entry of await map.page(page, signal)) {
              const problem = await this.#problemOf(entry, signal);
              if (problem) note(`Disk ${disk.name}: ${problem}`);
            }
          });
        }
      });
    }
    return more === 0 ? problems : [...problems, `${more} more.`];
  }

  async #problemOf(entry: Reference, signal: AbortSignal | undefined): Promise<string | undefined> {
    switch (entry.kind) {
      case 'zero':
        return undefined;
      case 'bad':
        return 'a chunk was unreadable when the point was made.';
      case 'data':
        return await this.#problemOfWhole(entry);
      case 'split':
        return this.#options.patches === 'prove'
          ? await this.#problemOfPatched(entry, signal)
          : await this.#problemOfListedPatch(entry);
      default:
        return entry satisfies never;
    }
  }

  async #problemOfWhole({ id, location }: DataReference): Promise<string | undefined> {
    return await this.#problemAlong(location, async (place) => {
      const frame = await this.#frameAt(place);
      if (typeof frame === 'string') return frame;
      if (frame?.kind === 'data' && frame.id.equals(id)) return this.#damageAt(place);
      return `Chunk ${id.toString('hex')} is not in pack ${place.packId} where its map says.`;
    });
  }

  /** Undefined when the frame is right at its place, or somewhere that it was forwarded to; else what is wrong here. */
  async #problemAlong(
    place: ChunkLocation,
    problemAt: (place: ChunkLocation) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const problem = await problemAt(place);
    if (problem === undefined) return undefined;
    for await (const next of this.#options.forwardings.chain(place)) {
      if ((await problemAt(next)) === undefined) return undefined;
    }
    return problem;
  }

  /** What the directory says of a place, undefined when it says something else; a sentence when there is none. */
  async #frameAt({ packId, slot, offset, storedBytes }: ChunkLocation): Promise<PackSlot | string | undefined> {
    const directory = await this.#directory(packId);
    if (directory instanceof HoldfastError) return directory.message;
    const found = directory[slot];
    return found?.offset === offset && found.storedBytes === storedBytes ? found : undefined;
  }

  #damageAt(place: SlotPlace): string | undefined {
    return this.#options.isBad(place) ? `A chunk in pack ${place.packId} (slot ${place.slot}) is damaged.` : undefined;
  }

  /** By directories alone. The patch's place may have been forwarded to the whole chunk. */
  async #problemOfListedPatch({ id, base, patch }: SplitReference): Promise<string | undefined> {
    let whole = false;
    const problem = await this.#problemAlong(patch, async (place) => {
      const frame = await this.#frameAt(place);
      if (typeof frame === 'string') return frame;
      whole = frame?.kind === 'data' && frame.id.equals(id);
      if (whole || frame?.kind === 'patch') return this.#damageAt(place);
      return `A patch of chunk ${id.toString('hex')} is not in pack ${place.packId} where its map says.`;
    });
    if (problem !== undefined || whole) return problem;
    const ofBase = await this.#problemAlong(base, async (place) => {
      const frame = await this.#frameAt(place);
      if (typeof frame === 'string') return frame;
      return frame?.kind === 'data'
        ? this.#damageAt(place)
        : `The base of chunk ${id.toString('hex')} is not in its place.`;
    });
    if (ofBase === undefined) return undefined;
    for await (const place of this.#options.forwardings.chain(patch)) {
      const frame = await this.#frameAt(place);
      const isWhole = typeof frame === 'object' && frame.kind === 'data' && frame.id.equals(id);
      if (isWhole && this.#damageAt(place) === undefined) return undefined;
    }
    return ofBase;
  }

  /** No directory tells that a patch fits its base: it is put together once. */
  async #problemOfPatched(reference: SplitReference, signal: AbortSignal | undefined): Promise<string | undefined> {
    const { id, base, patch } = reference;
    const name = `${id.toString('latin1')}${base.packId}.${base.slot}.${patch.packId}.${patch.slot}`;
    if (this.#provedPatches.has(name)) return undefined;
    try {
      await readChunk(this.#repository, { reference, signal });
    } catch (error) {
      if (!(error instanceof HoldfastError) || !isDamage(error)) throw error;
      return error.message;
    }
    this.#provedPatches.add(name);
    return undefined;
  }

  async #directory(packId: string): Promise<readonly PackSlot[] | HoldfastError> {
    let directory = this.#directories.get(packId);
    if (!directory) {
      const { store, domain } = this.#repository;
      const key = packKey({ domain, kind: 'data', packId });
      directory = readPackDirectory({ store, key, packId }).catch((error: unknown) => {
        if (!(error instanceof HoldfastError) || !isDamage(error)) throw error;
        return error.code === 'object_not_found'
          ? new HoldfastError('chunk_corrupt', `Pack ${packId} is missing.`, { cause: error })
          : error;
      });
      this.#directories.set(packId, directory);
      if (this.#directories.size > cachedDirectories) this.#directories.delete(this.#directories.keys().next().value!);
    }
    return await directory;
  }
}

/** Damage becomes a note; everything else goes on up. */
async function attempt(note: (problem: string) => void, what: string, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof HoldfastError) || !isDamage(error)) throw error;
    note(`${what}: ${error.message}`);
  }
}

function isDamage(error: HoldfastError): boolean {
  return ['chunk_corrupt', 'repository_damaged', 'object_not_found'].includes(error.code);
}
