/**
 * A repository with many packs and points, as years of daily backups leave it, in a minute and a few hundred MiB. Manifests,
 * map roots and pack tables are real, made with the engine's own writers. Data packs and packs of map pages are names and
 * sizes only (sparse files): collection and presence checks read none of them. Packs that nobody uses have a real header,
 * because collection asks who made them.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, KiB, MiB, newId, runLanes } from '@holdfast/base';
import { initRepository, openRepository, type Repository } from '@holdfast/engine';
import { LocalStore } from '@holdfast/storage';
import { geometryOf } from '../../packages/engine/chunk/geometry.ts';
import { compressionLevels } from '../../packages/engine/codec/compression.ts';
import type { FrameKind } from '../../packages/engine/codec/frame.ts';
import { encodeManifest, type Manifest } from '../../packages/engine/manifest/manifest.ts';
import { encodeMapRoot } from '../../packages/engine/map/map-root.ts';
import { emptyTableRoot, type PackTableRoot } from '../../packages/engine/map/pack-table.ts';
import { PackTableChanges } from '../../packages/engine/map/pack-table-changes.ts';
import type { DataReference } from '../../packages/engine/map/reference-list.ts';
import type { FrameReference } from '../../packages/engine/pack/frame-reader.ts';
import { encodePackHeader, nonceBytes } from '../../packages/engine/pack/pack-format.ts';
import { PackWriter, type PendingLocation } from '../../packages/engine/pack/pack-writer.ts';
import { type PackKind, packKey, packsPrefix, pointKey } from '../../packages/engine/repository/layout.ts';

/** Of each resource, one a day. */
const pointsPerResource = 100;
/** As in packs of 1 MiB chunks that compress to half. */
const slotsPerPack = 64;
const frameBytes = 512 * KiB;
const dataPackBytes = slotsPerPack * frameBytes + 4 * KiB;
const chunkBytes = MiB;
const unusedShare = 0.02;
/** Frames of one day; a buffer of the usual 8 MiB for each would only be made and thrown away. */
const dayPackBytes = MiB;
const lanes = 8;
const dayMs = 24 * 3600 * 1000;

export type SyntheticRepository = {
  readonly directory: string;
  readonly packs: number;
  readonly points: number;
  /** Packs that no point uses. */
  readonly unused: number;
};

/** @param request.scale 1: 100 000 packs, 5000 points of 50 resources */
export async function writeSyntheticRepository(request: {
  readonly directory: string;
  readonly scale: number;
  readonly signal: AbortSignal;
}): Promise<SyntheticRepository> {
  const { directory, scale, signal } = request;
  const resources = Math.max(1, Math.round(50 * scale));
  const packs = resources * 2000;
  const unused = Math.round(packs * unusedShare);
  await using store = await LocalStore.open({ directory, create: true });
  await initRepository({ store });
  const repository = await openRepository({ store });
  const files = new PackFiles(directory, repository.domain);
  // Beside the full point's data: a pack of data and one of metadata a day, and the one that holds the map pages.
  const basePacks = (packs - unused) / resources - 2 * pointsPerResource - 1;
  await runLanes({
    jobs: Array.from({ length: resources }, (_, index) => `volumes/disk-${index + 1}`),
    lanes,
    signal,
    run: async (resource) => await new Series({ repository, files, resource, signal }).write(basePacks),
  });
  files.addUnused(unused);
  return { directory, packs, points: resources * pointsPerResource, unused };
}

/** Puts `count` packs that nobody uses, as backups that died leave them. */
export async function addUnusedPacks(directory: string, count: number): Promise<void> {
  await using store = await LocalStore.open({ directory });
  new PackFiles(directory, (await openRepository({ store })).domain).addUnused(count);
}

/** Past the storage driver: an fsync a pack would take an hour. */
class PackFiles {
  readonly #directory: string;
  readonly #domain: string;

  constructor(directory: string, domain: string) {
    this.#directory = directory;
    this.#domain = domain;
    for (const kind of ['data', 'meta'] as const) {
      for (let folder = 0; folder < 256; folder += 1) {
        const name = folder.toString(16).padStart(2, '0');
        mkdirSync(join(directory, packsPrefix(domain, kind), name), { recursive: true });
      }
    }
  }

  /** A pack without content; answers its id. */
  add(kind: PackKind, sizeBytes: number, header?: Buffer): string {
    const packId = randomBytes(32).toString('hex');
    const file = openSync(join(this.#directory, packKey({ domain: this.#domain, kind, packId })), 'wx');
    try {
      if (header) writeSync(file, header);
      ftruncateSync(file, sizeBytes);
    } finally {
      closeSync(file);
    }
    return packId;
  }

  addUnused(count: number): void {
    const nonce = randomBytes(nonceBytes);
    for (let ordinal = 0; ordinal < count; ordinal += 1) {
      this.add('data', dataPackBytes, encodePackHeader({ kind: 'data', nonce, ordinal }));
    }
  }
}

type SeriesOptions = {
  readonly repository: Repository;
  readonly files: PackFiles;
  readonly resource: string;
  readonly signal: AbortSignal;
};

/** A full point and its daily increments; each brings a pack of its own and lets go of a slot in two older ones. */
class Series {
  readonly #options: SeriesOptions;
  readonly #dataPacks: string[] = [];
  /** Content of the current table pages, by id. */
  readonly #tablePages = new Map<string, Buffer>();
  #table: PackTableRoot = emptyTableRoot;
  #mapPages: DataReference[] = [];
  #parent: string | null = null;

  constructor(options: SeriesOptions) {
    this.#options = options;
  }

  async write(basePacks: number): Promise<void> {
    const { files } = this.#options;
    const changes = new PackTableChanges();
    for (let pack = 0; pack < basePacks; pack += 1) this.#useNewPack(changes);
    const mapPack = files.add('meta', this.#geometry.pageCount * pageBytes);
    this.#mapPages = Array.from({ length: this.#geometry.pageCount }, (_, slot) => {
      const location = placeOf(mapPack, slot, pageBytes);
      changes.count('meta', location, 1);
      return { kind: 'data', id: randomBytes(32), location };
    });
    await this.#writePoint(0, changes);
    for (let day = 1; day < pointsPerResource; day += 1) {
      const daily = new PackTableChanges();
      this.#useNewPack(daily);
      // Of every pack one slot at most, so that none is let go of twice.
      for (const pack of [2 * day, 2 * day + 1]) {
        daily.count('data', placeOf(this.#dataPacks[pack]!, day % slotsPerPack, frameBytes), -1);
      }
      this.#mapPages = this.#mapPages.with(day % this.#mapPages.length, {
        ...this.#mapPages[day % this.#mapPages.length]!,
        id: randomBytes(32),
      });
      await this.#writePoint(day, daily);
    }
  }

  get #geometry() {
    return geometryOf({ sizeBytes: Math.max(1, this.#dataPacks.length) * slotsPerPack * chunkBytes, chunkBytes });
  }

  #useNewPack(changes: PackTableChanges): void {
    const packId = this.#options.files.add('data', dataPackBytes);
    this.#dataPacks.push(packId);
    for (let slot = 0; slot < slotsPerPack; slot += 1) changes.count('data', placeOf(packId, slot, frameBytes), 1);
  }

  async #writePoint(day: number, changes: PackTableChanges): Promise<void> {
    const { repository, resource, signal } = this.#options;
    const { store, domain, keys } = repository;
    const frames = new DayFrames(repository, signal);
    const table = await changes.applyTo({
      base: this.#table,
      readPage: ({ id }) => {
        const page = this.#tablePages.get(id.toString('hex'));
        if (!page) throw new HoldfastError('internal', 'A page of a synthetic pack table is not known any more.');
        return Promise.resolve(page);
      },
      writePage: async (content) => {
        const frame = await frames.add('tablePage', content);
        this.#tablePages.set(frame.id.toString('hex'), content);
        return () => ({ kind: 'data', ...frames.referenceOf(frame) });
      },
    });
    const geometry = geometryOf({ sizeBytes: this.#mapPages.length * 256 * chunkBytes, chunkBytes });
    const root = await frames.add('mapRoot', encodeMapRoot({ geometry, pages: this.#mapPages }));
    await frames.finish();
    this.#table = table();
    const createdAtMs = Date.now() - (pointsPerResource - day) * dayMs;
    const manifest = this.#manifest(createdAtMs, frames.referenceOf(root));
    await store.put(pointKey({ domain, resource, createdAtMs, pointId: manifest.id }), {
      buffers: [encodeManifest(manifest, keys)],
    });
    this.#parent = manifest.id;
  }

  #manifest(createdAtMs: number, root: FrameReference): Manifest {
    const { repository, resource } = this.#options;
    const isFull = this.#parent === null;
    const sizeBytes = this.#mapPages.length * 256 * chunkBytes;
    const counters = {
      read_bytes: isFull ? sizeBytes : slotsPerPack * chunkBytes,
      zero_chunks: 0,
      unchanged_chunks: isFull ? 0 : (this.#dataPacks.length - 1) * slotsPerPack,
      deduplicated_chunks: 0,
      new_chunks: isFull ? this.#dataPacks.length * slotsPerPack : slotsPerPack,
      new_bytes: isFull ? sizeBytes : slotsPerPack * chunkBytes,
    };
    const actual = isFull ? 'full' : 'incremental';
    return {
      id: newId('bkp'),
      session: newId('ses'),
      domain: repository.domain,
      resource,
      created_at: new Date(createdAtMs).toISOString(),
      key_epoch: repository.keys.epoch,
      lock_until: null,
      roots: [root],
      guest_configuration: null,
      series: null,
      increment_id: null,
      parent: this.#parent,
      origin: 'policy',
      requested: actual,
      actual,
      consistency: 'crash',
      zone: 'UTC',
      host: 'bench',
      label: null,
      keep_reasons: [],
      put_bytes: counters.new_bytes / 2,
      duration_ms: 1000,
      disks: [
        {
          name: 'vda',
          size_bytes: sizeBytes,
          chunk_bytes: chunkBytes,
          actual,
          fallback_reason: null,
          bitmap: null,
          counters,
        },
      ],
      table: this.#table,
    };
  }
}

/** A map page of 256 entries, about. */
const pageBytes = 13 * KiB;

function placeOf(packId: string, slot: number, storedBytes: number) {
  return { packId, slot, offset: 32 + slot * storedBytes, storedBytes };
}

type Frame = { readonly id: Buffer; readonly pending: PendingLocation };

/** The metadata pack of one point. */
class DayFrames {
  readonly #repository: Repository;
  readonly #writer: PackWriter;
  readonly #packIds: string[] = [];
  #packs = 0;

  constructor(repository: Repository, signal: AbortSignal) {
    this.#repository = repository;
    this.#writer = new PackWriter({
      store: repository.store,
      domain: repository.domain,
      kind: 'meta',
      hash: repository.configuration.hash,
      nonce: randomBytes(nonceBytes),
      targetBytes: dayPackBytes,
      nextOrdinal: () => this.#packs++,
      onSealed: ({ ordinal, packId }) => {
        this.#packIds[ordinal] = packId;
      },
      uploads: 1,
      signal,
    });
  }

  async add(kind: FrameKind, plain: Buffer): Promise<Frame> {
    const { codec } = this.#repository;
    const id = codec.idOf(kind, plain);
    return {
      id,
      pending: await this.#writer.append(await codec.encode({ kind, id, plain, level: compressionLevels.fast })),
    };
  }

  async finish(): Promise<void> {
    await this.#writer.finish();
  }

  /** Once finished. */
  referenceOf({ id, pending }: Frame): FrameReference {
    const { packOrdinal, ...place } = pending;
    return { id, location: { packId: this.#packIds[packOrdinal]!, ...place } };
  }
}
