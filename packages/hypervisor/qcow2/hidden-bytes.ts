/**
 * What an image keeps that the image above it hides: clusters that are written in both. That is what a snapshot keeps that is
 * a layer; when the upper image is committed, they are overwritten.
 */
import { stat } from 'node:fs/promises';
import { hasCode } from '@holdfast/base';
import { isWrittenByQemu } from '../qemu/image-lock.ts';
import { type Qcow2Header, readHeader } from './header.ts';
import { ImageFile } from './image-file.ts';
import type { SnapshotUsage } from './read-snapshots.ts';

type Opened = { readonly file: ImageFile; readonly header: Qcow2Header; readonly l1: Buffer };

/**
 * Also while a machine runs on them: then by what QEMU has written. Unknown where clusters differ in size, and where tables are
 * half written. A cluster that an internal snapshot of the lower image keeps as well is not counted.
 * @throws source_not_found, source_unreadable, image_unsupported, image_damaged of an image that nobody writes
 */
export async function measureHidden(options: {
  readonly path: string;
  readonly above: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<SnapshotUsage> {
  const { path, above, signal } = options;
  try {
    return await scan({ path, above, signal });
  } catch (error) {
    if (!hasCode(error, 'image_damaged')) throw error;
    for (const image of [path, above])
      if (await isWrittenByQemu(await stat(image, { bigint: true }))) return { kind: 'unknown' };
    throw error;
  }
}

async function scan(options: {
  readonly path: string;
  readonly above: string;
  readonly signal: AbortSignal | undefined;
}): Promise<SnapshotUsage> {
  await using lowerFile = await ImageFile.open(options.path);
  await using upperFile = await ImageFile.open(options.above);
  const [lower, upper] = [await openTables(lowerFile), await openTables(upperFile)];
  const { clusterBytes, l2EntryBytes } = lower.header;
  // Of subclusters an entry does not say enough.
  if (upper.header.clusterBytes !== clusterBytes || l2EntryBytes !== 8 || upper.header.l2EntryBytes !== 8)
    return { kind: 'unknown' };
  let tables = 0;
  let hidden = 0;
  const [lowerL2, upperL2] = [Buffer.alloc(clusterBytes), Buffer.alloc(clusterBytes)];
  for (let at = 0; at < upper.l1.length; at += 8) {
    options.signal?.throwIfAborted();
    const upperAt = tableOffset(upper.l1, at);
    if (upperAt === 0) continue;
    tables += 1;
    const lowerAt = at < lower.l1.length ? tableOffset(lower.l1, at) : 0;
    if (lowerAt === 0) continue;
    await upperFile.read({ into: upperL2, offset: upperAt, what: `L2 table ${at / 8}` });
    await lowerFile.read({ into: lowerL2, offset: lowerAt, what: `L2 table ${at / 8}` });
    hidden += countHidden(lowerL2, upperL2);
  }
  return { kind: 'known', divergedBytes: hidden * clusterBytes, tableBytes: tables * clusterBytes };
}

async function openTables(file: ImageFile): Promise<Opened> {
  const header = await readHeader(file);
  const l1 = Buffer.alloc(header.l1.entries * 8);
  await file.read({ into: l1, offset: header.l1.offset, what: 'the L1 table' });
  return { file, header, l1 };
}

function tableOffset(l1: Buffer, at: number): number {
  return (l1.readUInt32BE(at) & 0x00ff_ffff) * 2 ** 32 + ((l1.readUInt32BE(at + 4) & 0xffff_fe00) >>> 0);
}

/** Bit 63 of an entry: nothing else refers to the cluster. An upper entry of zeros alone lets the lower image shine through. */
function countHidden(lower: Buffer, upper: Buffer): number {
  let hidden = 0;
  for (let at = 0; at < lower.length; at += 8) {
    if (!(lower.readUInt32BE(at) & 0x8000_0000)) continue;
    if (upper.readUInt32BE(at) !== 0 || upper.readUInt32BE(at + 4) !== 0) hidden += 1;
  }
  return hidden;
}
