/** The internal snapshots of a qcow2 image and what each of them keeps, read from its tables without QEMU. */
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError, hasCode } from '@holdfast/base';
import { isWrittenByQemu } from '../qemu/image-lock.ts';
import { type Divergence, DivergenceScan } from './divergence.ts';
import { type Qcow2Header, readHeader } from './header.ts';
import { ImageFile } from './image-file.ts';
import { readSnapshotTable, type SnapshotRecord } from './snapshot-table.ts';

export type SnapshotUsage =
  | ({ readonly kind: 'known' } & Divergence)
  /** Reference counts are kept lazily, and only QEMU knows the rest of them. */
  | { readonly kind: 'unknown' };

export type Qcow2Snapshot = SnapshotRecord & { readonly usage: SnapshotUsage };

export type Qcow2Snapshots = {
  /** Of the disk as it is now. */
  readonly sizeBytes: number;
  /** Persistent dirty bitmaps in the image. */
  readonly bitmaps: number;
  readonly hasBackingFile: boolean;
  /** Oldest first. */
  readonly snapshots: readonly Qcow2Snapshot[];
};

/** QEMU writes its tables when it must: what looks damaged while it runs may only be half written. */
const ATTEMPTS_IN_USE = 4;
const PAUSE_MS = 100;

/**
 * Also while a virtual machine runs on the image; its figures are then those of what QEMU has written, at most a few
 * seconds old.
 * @throws source_not_found, source_unreadable, image_damaged, image_unsupported (no qcow2 image, among others)
 */
export async function readQcow2Snapshots(options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<Qcow2Snapshots> {
  const { path, signal } = options;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const read = await readOnce(path, signal);
      if (read) return read;
      if (attempt >= ATTEMPTS_IN_USE)
        throw new HoldfastError('source_changed', `the snapshots of ${path} keep changing`);
    } catch (error) {
      if (!hasCode(error, 'image_damaged') || attempt >= ATTEMPTS_IN_USE) throw error;
      if (!(await isWrittenByQemu(await stat(path, { bigint: true })))) throw error;
    }
    await sleep(PAUSE_MS, undefined, { ...(signal && { signal }) });
  }
}

export type Qcow2Tables = {
  /** Of the disk as it is now. */
  readonly sizeBytes: number;
  readonly clusterBytes: number;
  /** The image below, as the header names it. */
  readonly backingFile: string | undefined;
  readonly isEncrypted: boolean;
  /** L2 tables of the disk as it is now: what QEMU walks through to take or delete an internal snapshot. */
  readonly activeTableBytes: number;
  readonly snapshots: readonly SnapshotRecord[];
};

/** The same image without the figures of its snapshots: only the tables that list are read. @throws as readQcow2Snapshots */
export async function readQcow2Tables(options: { readonly path: string }): Promise<Qcow2Tables> {
  await using file = await ImageFile.open(options.path);
  const header = await readHeader(file);
  const { sizeBytes, clusterBytes, backingFile, isEncrypted } = header;
  const snapshots = await readSnapshotTable(file, header);
  return {
    sizeBytes,
    clusterBytes,
    backingFile,
    isEncrypted,
    activeTableBytes: await measureTables(file, header),
    snapshots,
  };
}

async function measureTables(file: ImageFile, { l1, clusterBytes }: Qcow2Header): Promise<number> {
  const table = Buffer.alloc(l1.entries * 8);
  await file.read({ into: table, offset: l1.offset, what: 'the L1 table' });
  let tables = 0;
  for (let at = 0; at < table.length; at += 8) if (!isUnallocated(table, at)) tables += 1;
  return tables * clusterBytes;
}

function isUnallocated(table: Buffer, at: number): boolean {
  return (table.readUInt32BE(at) & 0x00ff_ffff) === 0 && (table.readUInt32BE(at + 4) & 0xffff_fe00) === 0;
}

/** Undefined when the snapshots were other ones at the end. */
async function readOnce(path: string, signal: AbortSignal | undefined): Promise<Qcow2Snapshots | undefined> {
  await using file = await ImageFile.open(path);
  const header = await readHeader(file);
  const records = await readSnapshotTable(file, header);
  const snapshots = await withUsage({ file, header, records, signal });
  const after = await readHeader(file);
  const { sizeBytes, bitmaps, backingFile, snapshotTable } = header;
  // QEMU writes a changed table to a new place.
  const isSame =
    after.snapshotTable.offset === snapshotTable.offset && after.snapshotTable.snapshots === records.length;
  if (!isSame) return undefined;
  return { sizeBytes, bitmaps, hasBackingFile: backingFile !== undefined, snapshots };
}

async function withUsage(options: {
  readonly file: ImageFile;
  readonly header: Qcow2Header;
  readonly records: readonly SnapshotRecord[];
  readonly signal: AbortSignal | undefined;
}): Promise<readonly Qcow2Snapshot[]> {
  const { file, header, records, signal } = options;
  if (header.isDirty) return records.map((record) => ({ ...record, usage: { kind: 'unknown' } }));
  const scan = await DivergenceScan.open(file, header);
  const snapshots: Qcow2Snapshot[] = [];
  for (const record of records) {
    snapshots.push({ ...record, usage: { kind: 'known', ...(await scan.measure(record, signal)) } });
  }
  return snapshots;
}
