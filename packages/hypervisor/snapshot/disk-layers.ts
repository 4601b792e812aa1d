/**
 * The images of a machine's disks, layer by layer: the topmost one, and below it those that snapshots of ours have left. What
 * lies further down (a template that many machines share) is not the machine's own.
 */
import { isAbsolute } from 'node:path';
import { hasCode } from '@holdfast/base';
import { type Qcow2Tables, readQcow2Tables } from '../qcow2/read-snapshots.ts';
import type { OverlayJournal, OverlayRecord } from './overlay-journal.ts';
import type { VmDisk } from './vm-disks.ts';

export type DiskLayer = { readonly path: string; readonly tables: Qcow2Tables };

export type DiskLayers = VmDisk & {
  /** The machine's own, the topmost first. */
  readonly layers: readonly DiskLayer[];
};

/** A chain that is longer leads in a circle. */
const MAX_LAYERS = 300;

/** @throws image_unsupported, image_damaged, source_not_found, source_unreadable */
export async function readDiskLayers(disk: VmDisk, records: readonly OverlayRecord[]): Promise<DiskLayers> {
  const chain = await readChain(disk.path);
  const overlays = new Set(records.flatMap((record) => record.overlays.map((overlay) => overlay.path)));
  const lowest = chain.findLastIndex(({ path }) => overlays.has(path));
  return { ...disk, layers: chain.slice(0, lowest < 0 ? 1 : lowest + 2) };
}

/** Every qcow2 image of the chain, the machine's own or not. */
async function readChain(topmost: string): Promise<readonly DiskLayer[]> {
  const chain: DiskLayer[] = [];
  for (let path: string | undefined = topmost; path !== undefined && chain.length < MAX_LAYERS; ) {
    const tables = await tablesOf(path, chain.length === 0);
    if (!tables) break;
    chain.push({ path, tables });
    const below: string | undefined = tables.backingFile;
    path = below !== undefined && isAbsolute(below) ? below : undefined;
  }
  return chain;
}

/** Whether a disk is read through this image, which lies below its topmost one. False also of a disk that cannot be looked at. */
export async function isReadThrough(options: { readonly topmost: string; readonly image: string }): Promise<boolean> {
  const { topmost, image } = options;
  const chain = await readChain(topmost).catch(() => []);
  return chain.slice(1).some(({ path }) => path === image);
}

/** Those below this topmost image that snapshots of the machine have left, the upper first. @throws as readDiskLayers */
export async function imagesBelow(options: {
  readonly journal: OverlayJournal;
  /** Of the machine. */
  readonly uuid: string;
  readonly path: string;
}): Promise<readonly string[]> {
  const { journal, uuid, path } = options;
  const records = await journal.list(uuid);
  if (records.length === 0) return [];
  const { layers } = await readDiskLayers({ target: '', path, isFile: true }, records);
  return layers.slice(1).map((layer) => layer.path);
}

/** Undefined for a raw image, on which a chain may stand. */
async function tablesOf(path: string, isTopmost: boolean): Promise<Qcow2Tables | undefined> {
  try {
    return await readQcow2Tables({ path });
  } catch (error) {
    if (isTopmost || !hasCode(error, 'image_unsupported')) throw error;
    return undefined;
  }
}

export type LayerPlace = {
  /** What the disk was at the snapshot. */
  readonly layer: DiskLayer;
  /** What was written since. */
  readonly overlay: DiskLayer;
};

/** Where the snapshot is on this disk; undefined when the disk has no such overlay, or has it on nothing. */
export function findLayer({ target, layers }: DiskLayers, record: OverlayRecord): LayerPlace | undefined {
  const path = record.overlays.find((one) => one.target === target)?.path;
  const index = layers.findIndex((layer) => layer.path === path);
  const [overlay, layer] = index < 0 ? [] : layers.slice(index, index + 2);
  return overlay && layer && { overlay, layer };
}
