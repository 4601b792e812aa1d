/**
 * The header of a qcow2 image, versions 2 and 3 (QEMU's docs/interop/qcow2.txt). Everything that the tables are found by
 * is checked here: clusters of a size that exists, tables of lengths that QEMU itself would take, at whole clusters.
 */
import { HoldfastError, MiB } from '@holdfast/base';
import { readUint64 } from '../nbd/protocol.ts';
import type { ImageFile } from './image-file.ts';

export type Qcow2Header = {
  readonly version: 2 | 3;
  /** Of the disk. */
  readonly sizeBytes: number;
  /** A power of two from 512 to 2 MiB. */
  readonly clusterBytes: number;
  /** Bits of one reference count: 1, 2, 4 ... 64. */
  readonly refcountBits: number;
  readonly refcountTable: { readonly offset: number; readonly clusters: number };
  /** The active layer's. */
  readonly l1: { readonly offset: number; readonly entries: number };
  readonly snapshotTable: { readonly offset: number; readonly snapshots: number };
  /** 16 with subclusters, else 8. */
  readonly l2EntryBytes: 8 | 16;
  /** The image below, as the header names it: mostly an absolute path. */
  readonly backingFile: string | undefined;
  readonly isEncrypted: boolean;
  /** Persistent dirty bitmaps; 0 also where a program that knows none of them has made them void. */
  readonly bitmaps: number;
  /** Counts may be behind: QEMU has the image open with lazy reference counts, or did not close it. */
  readonly isDirty: boolean;
};

const MAGIC = 0x514649fb;
const V2_BYTES = 72;
const V3_BYTES = 104;
/** Bits of `incompatible_features`. */
const DIRTY = 1;
const CORRUPT = 2;
const EXTERNAL_DATA = 4;
const COMPRESSION_TYPE = 8;
const EXTENDED_L2 = 16;
/** Bit of `autoclear_features`. */
const BITMAPS = 1;
const BITMAPS_EXTENSION = 0x23852875;
/** QEMU's own limits (block/qcow2.h): what is larger, no QEMU has written. */
const MAX_L1_BYTES = 32 * MiB;
const MAX_REFTABLE_BYTES = 8 * MiB;
const MAX_SNAPSHOTS = 65_536;
const MAX_BACKING_NAME_BYTES = 1023;

/**
 * @throws image_damaged, image_unsupported (no qcow2 image, external data file, features unknown here), source_unreadable
 */
export async function readHeader(file: ImageFile): Promise<Qcow2Header> {
  const fixed = Buffer.alloc(V3_BYTES);
  const fileBytes = await file.sizeBytes();
  const head = fixed.subarray(0, Math.min(V3_BYTES, fileBytes));
  await file.read({ into: head, offset: 0, what: 'the header' });
  if (head.length < 4 || fixed.readUInt32BE(0) !== MAGIC) throw notQcow2(file);
  const version = fixed.readUInt32BE(4);
  if (head.length < (version === 2 ? V2_BYTES : V3_BYTES)) throw file.damaged('the header is cut off');
  if (version !== 2 && version !== 3) throw unsupported(file, `version ${version} of the format`);
  const clusterBits = fixed.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw file.damaged(`clusters of 2^${clusterBits} bytes`);
  const clusterBytes = 2 ** clusterBits;
  const features = version === 2 ? noFeatures : featuresOf(fixed, file);
  const headerBytes = version === 2 ? V2_BYTES : fixed.readUInt32BE(100);
  if (headerBytes < (version === 2 ? V2_BYTES : V3_BYTES) || headerBytes > clusterBytes) {
    throw file.damaged(`a header of ${headerBytes} bytes`);
  }
  return {
    version,
    sizeBytes: number(fixed, 24, 'the size of the disk', file),
    clusterBytes,
    refcountBits: 2 ** features.refcountOrder,
    refcountTable: refcountTableOf(fixed, clusterBytes, file),
    l1: l1Of(fixed, clusterBytes, file),
    snapshotTable: snapshotTableOf(fixed, clusterBytes, file),
    l2EntryBytes: features.hasExtendedL2 ? 16 : 8,
    backingFile: await readBackingFile(fixed, file),
    isEncrypted: fixed.readUInt32BE(32) !== 0,
    bitmaps: features.hasBitmaps
      ? await countBitmaps({ file, headerBytes, headBytes: Math.min(clusterBytes, fileBytes) })
      : 0,
    isDirty: features.isDirty,
  };
}

async function readBackingFile(header: Buffer, file: ImageFile): Promise<string | undefined> {
  const offset = number(header, 8, 'the name of the backing file', file);
  if (offset === 0) return undefined;
  const length = header.readUInt32BE(16);
  if (length > MAX_BACKING_NAME_BYTES) throw file.damaged(`a name of the backing file of ${length} bytes`);
  const name = Buffer.alloc(length);
  await file.read({ into: name, offset, what: 'the name of the backing file' });
  return name.toString('utf8');
}

type Features = {
  readonly refcountOrder: number;
  readonly isDirty: boolean;
  readonly hasExtendedL2: boolean;
  readonly hasBitmaps: boolean;
};

const noFeatures: Features = { refcountOrder: 4, isDirty: false, hasExtendedL2: false, hasBitmaps: false };

function featuresOf(header: Buffer, file: ImageFile): Features {
  // All bits that are known are low ones.
  const incompatible = header.readUInt32BE(76);
  const known = DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION_TYPE | EXTENDED_L2;
  if (header.readUInt32BE(72) !== 0 || (incompatible & ~known) !== 0)
    throw unsupported(file, 'features of a newer QEMU');
  if (incompatible & EXTERNAL_DATA) throw unsupported(file, 'an external data file');
  if (incompatible & CORRUPT) throw file.damaged('QEMU has marked it as corrupt');
  const refcountOrder = header.readUInt32BE(96);
  if (refcountOrder > 6) throw file.damaged(`reference counts of 2^${refcountOrder} bits`);
  return {
    refcountOrder,
    isDirty: (incompatible & DIRTY) !== 0,
    hasExtendedL2: (incompatible & EXTENDED_L2) !== 0,
    hasBitmaps: (header.readUInt32BE(92) & BITMAPS) !== 0,
  };
}

function refcountTableOf(header: Buffer, clusterBytes: number, file: ImageFile): Qcow2Header['refcountTable'] {
  const offset = tableOffset(header, 48, { what: 'the refcount table', clusterBytes, file });
  const clusters = header.readUInt32BE(56);
  if (clusters === 0 || clusters * clusterBytes > MAX_REFTABLE_BYTES) {
    throw file.damaged(`a refcount table of ${clusters} clusters`);
  }
  return { offset, clusters };
}

function l1Of(header: Buffer, clusterBytes: number, file: ImageFile): Qcow2Header['l1'] {
  const offset = tableOffset(header, 40, { what: 'the L1 table', clusterBytes, file });
  return { offset, entries: checkL1Entries(header.readUInt32BE(36), 'the L1 table', file) };
}

/** @throws image_damaged when there are more than QEMU would take */
export function checkL1Entries(entries: number, what: string, file: ImageFile): number {
  if (entries * 8 <= MAX_L1_BYTES) return entries;
  throw file.damaged(`${what} has ${entries} entries`);
}

function snapshotTableOf(header: Buffer, clusterBytes: number, file: ImageFile): Qcow2Header['snapshotTable'] {
  const snapshots = header.readUInt32BE(60);
  if (snapshots > MAX_SNAPSHOTS) throw file.damaged(`${snapshots} snapshots`);
  if (snapshots === 0) return { offset: 0, snapshots };
  return { offset: tableOffset(header, 64, { what: 'the snapshot table', clusterBytes, file }), snapshots };
}

function tableOffset(
  header: Buffer,
  at: number,
  table: { readonly what: string; readonly clusterBytes: number; readonly file: ImageFile },
): number {
  const { what, clusterBytes, file } = table;
  const offset = number(header, at, what, file);
  if (offset % clusterBytes === 0) return offset;
  throw file.damaged(`${what} begins inside a cluster`);
}

function number(header: Buffer, at: number, what: string, file: ImageFile): number {
  const value = readUint64(header, at);
  if (value !== undefined) return value;
  throw file.damaged(`${what} is out of range`);
}

/** Extensions follow the header inside the first cluster: type and length (4 bytes each), data padded to 8 bytes. */
async function countBitmaps(options: {
  readonly file: ImageFile;
  readonly headerBytes: number;
  /** End of the first cluster, or of the file. */
  readonly headBytes: number;
}): Promise<number> {
  const { file, headerBytes, headBytes } = options;
  const rest = Buffer.alloc(Math.max(0, headBytes - headerBytes));
  await file.read({ into: rest, offset: headerBytes, what: 'the header' });
  for (let at = 0; at + 8 <= rest.length; ) {
    const type = rest.readUInt32BE(at);
    const length = rest.readUInt32BE(at + 4);
    if (type === 0) break;
    if (at + 8 + length > rest.length) throw file.damaged('an extension of the header is too long');
    if (type === BITMAPS_EXTENSION) {
      if (length < 4) throw file.damaged('the bitmaps extension is too short');
      return rest.readUInt32BE(at + 8);
    }
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return 0;
}

function notQcow2(file: ImageFile): HoldfastError {
  return new HoldfastError('image_unsupported', `${file.path} is no qcow2 image`, {
    remedy: 'Convert the disk to qcow2 (qemu-img convert -O qcow2), which has snapshots.',
    facts: { path: file.path },
  });
}

function unsupported(file: ImageFile, what: string): HoldfastError {
  return new HoldfastError('image_unsupported', `${file.path} has ${what}`, { facts: { path: file.path } });
}
