/** From disks to packs: everything of a backup between opening the session and the manifest. */
import { HoldfastError } from '@holdfast/base';
import { geometryOf } from '../chunk/geometry.ts';
import type { Manifest, ManifestDisk } from '../manifest/manifest.ts';
import { MapReader } from '../map/map-reader.ts';
import { encodeMapRoot } from '../map/map-root.ts';
import { emptyTableRoot, type PackTableRoot } from '../map/pack-table.ts';
import { type FrameReference, readFrame } from '../pack/frame-reader.ts';
import type { BackupDisk, BackupOptions } from './backup.ts';
import { backupDisk, type DiskOutcome } from './disk-backup.ts';
import { canCarryOn, type Lineage } from './lineage.ts';
import { PageBuilder } from './page-builder.ts';
import type { UploadSession } from './upload-session.ts';

/** Fallback reason of an increment that was not told what changed. */
export const noChangedExtents = 'no_changed_extents';

export type Transferred = {
  readonly disks: ManifestDisk[];
  /** Map roots in the order of `disks`. */
  readonly roots: FrameReference[];
  readonly guest: FrameReference | null;
  readonly table: PackTableRoot;
};

type Request = {
  readonly options: BackupOptions;
  readonly upload: UploadSession;
  readonly lineage: Lineage;
};

type FinishedDisk = {
  readonly disk: BackupDisk;
  readonly outcome: DiskOutcome;
  /** The root of the map that was carried on, to be kept when nothing changed. */
  readonly parentRoot: FrameReference | undefined;
};

/** Every pack is acknowledged afterwards. @throws source errors, storage errors */
export async function transfer(request: Request): Promise<Transferred> {
  const { options, upload, lineage } = request;
  const { repository, signal } = options;
  // The pack table goes on only together with every map that it counts.
  const carried = lineage.base && canCarryOn(lineage.base.manifest, options) ? lineage.base.manifest : undefined;
  const finished = await readDisks(request, carried);
  if (carried) await dropDisks(request, carried);
  // Packs have their ids when they are sealed; what names them does not wait for their uploads.
  upload.sealData();
  for (const { outcome } of finished) await outcome.pages.writeReadyPages();
  upload.sealMeta();

  const roots: (() => FrameReference)[] = [];
  for (const disk of finished) roots.push(await storeRoot(upload, disk));
  const { guestConfiguration } = options;
  const guest = guestConfiguration && (await upload.storeMeta('guestConfiguration', guestConfiguration));
  const table = await upload.tableChanges.applyTo({
    base: carried?.table ?? emptyTableRoot,
    readPage: async (reference) => await readFrame(repository, { kind: 'tablePage', reference, signal }),
    writePage: async (content) => {
      const stored = await upload.storeMeta('tablePage', content);
      return () => ({ kind: 'data', ...upload.referenceTo(stored) });
    },
  });
  upload.sealMeta();
  await upload.finish();
  return {
    disks: finished.map((disk) => describeDisk(disk, lineage)),
    roots: roots.map((reference) => reference()),
    guest: guest ? upload.referenceTo(guest) : null,
    table: table(),
  };
}

async function readDisks(request: Request, carried: Manifest | undefined): Promise<FinishedDisk[]> {
  const { options, upload, lineage } = request;
  const { repository, signal } = options;
  const totalBytes = options.disks.reduce((sum, { source }) => sum + source.sizeBytes, 0);
  const isParentTrusted = carried === undefined || (await upload.known.trustsPoint(carried));
  let doneBytes = 0;
  let readBytes = 0;
  const finished: FinishedDisk[] = [];
  for (const disk of options.disks) {
    const parentRoot = carried?.roots[carried.disks.findIndex(({ name }) => name === disk.name)];
    const parent = parentRoot && (await MapReader.open(repository, { root: parentRoot, signal }));
    const outcome = await backupDisk({
      repository,
      upload,
      disk: {
        name: disk.name,
        source: disk.source,
        chunkBytes:
          options.chunkBytes ?? carried?.disks[0]?.chunk_bytes ?? repository.configuration.defaults.chunk_bytes,
        // Changes count from the parent; a map that is only compared with knows nothing of them.
        changed: lineage.parent && disk.changed,
        changesProved: disk.changesProved,
        knownId: disk.knownId,
        parent,
        isParentTrusted,
      },
      signal,
      onProgress: (step) => {
        doneBytes = Math.min(totalBytes, doneBytes + step.doneBytes);
        readBytes += step.readBytes;
        options.onProgress?.({ doneBytes, totalBytes, readBytes, putBytes: upload.putBytes });
      },
    });
    await disk.confirm?.();
    finished.push({ disk, outcome, parentRoot });
  }
  return finished;
}

/** What only disks used that the point has no more is not counted any more. */
async function dropDisks({ options, upload }: Request, carried: Manifest): Promise<void> {
  const { repository, disks, signal } = options;
  for (const [index, { name }] of carried.disks.entries()) {
    if (disks.some((disk) => disk.name === name)) continue;
    const parent = await MapReader.open(repository, { root: carried.roots[index]!, signal });
    const geometry = geometryOf({ sizeBytes: 0, chunkBytes: parent.geometry.chunkBytes });
    const pages = new PageBuilder({ upload, geometry, parent, isTrusted: true });
    for (let page = 0; page < parent.geometry.pageCount; page += 1) await pages.dropPage(page, signal);
    pages.finish();
  }
}

async function storeRoot(upload: UploadSession, { outcome, parentRoot }: FinishedDisk): Promise<() => FrameReference> {
  const pages = outcome.pages.finish();
  if (pages === undefined) {
    if (!parentRoot) throw new HoldfastError('internal', 'A map without parent claims to be unchanged.');
    return () => parentRoot;
  }
  const stored = await upload.storeMeta('mapRoot', encodeMapRoot({ geometry: outcome.geometry, pages }));
  return () => upload.referenceTo(stored);
}

function describeDisk({ disk, outcome, parentRoot }: FinishedDisk, lineage: Lineage): ManifestDisk {
  const { geometry, counters, distrusted } = outcome;
  const isCounted = lineage.parent !== undefined && parentRoot !== undefined && disk.changed !== undefined;
  const incremental = isCounted && distrusted === undefined;
  const reason = lineage.parent === undefined ? null : (distrusted ?? disk.fallbackReason ?? noChangedExtents);
  return {
    name: disk.name,
    size_bytes: geometry.sizeBytes,
    chunk_bytes: geometry.chunkBytes,
    actual: incremental ? 'incremental' : 'full',
    fallback_reason: incremental ? null : reason,
    bitmap: disk.bitmap ?? null,
    counters,
  };
}
