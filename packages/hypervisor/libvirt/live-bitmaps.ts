/** The dirty bitmaps that the QEMU of a running machine has: the truth behind libvirt's checkpoints. */
import { isOldQcow2 } from '../qemu/image-bitmaps.ts';
import type { CallOptions, Domain } from './domain.ts';

export type LiveBitmap = {
  readonly name: string;
  /** QEMU did not end cleanly since it was made: it may lack writes. */
  readonly isInconsistent: boolean;
};

export type LiveImage = {
  /** QEMU's name of the topmost image, for the monitor. */
  readonly node: string;
  readonly sizeBytes: number;
  readonly bitmaps: readonly LiveBitmap[];
  /** A qcow2 image of version 2 (`compat=0.10`), which has no room for bitmaps. */
  readonly isOld: boolean;
};

/**
 * The topmost image of each disk, by the disk's alias: wherever the image lies, and whatever the definition calls it. Empty
 * drives are left out.
 * @throws qemu_failed, vm_state_invalid when the machine does not run
 */
export async function liveBitmaps(
  domain: Domain,
  { signal }: CallOptions = {},
): Promise<ReadonlyMap<string, LiveImage>> {
  const drives = list(await domain.monitor({ command: 'query-block', signal }));
  return new Map(
    drives.flatMap(({ qdev, inserted }): [string, LiveImage][] => {
      const { 'node-name': node, image, 'dirty-bitmaps': bitmaps } = record(inserted);
      const { 'virtual-size': sizeBytes, 'format-specific': specific } = record(image);
      if (typeof qdev !== 'string' || typeof node !== 'string' || typeof sizeBytes !== 'number') return [];
      const isOld = isOldQcow2(specific);
      return [[aliasOf(qdev), { node, sizeBytes, bitmaps: list(bitmaps).flatMap(describe), isOld }]];
    }),
  );
}

/** Also one that is inconsistent, or that no checkpoint of libvirt's knows. @throws qemu_failed */
export async function removeLiveBitmap(
  domain: Domain,
  { node, bitmap, signal }: { readonly node: string; readonly bitmap: string } & CallOptions,
): Promise<void> {
  await domain.monitor({ command: 'block-dirty-bitmap-remove', args: { node, name: bitmap }, signal });
}

/** `sata0-0-0`, or a place below it where the drive is a device inside another: `/machine/peripheral/virtio-disk0/virtio-backend`. */
function aliasOf(device: string): string {
  return /^\/machine\/peripheral\/([^/]+)/.exec(device)?.[1] ?? device;
}

/** Those without a name are QEMU's own, of a running job. */
function describe({ name, inconsistent }: Readonly<Record<string, unknown>>): LiveBitmap[] {
  return typeof name === 'string' ? [{ name, isInconsistent: inconsistent === true }] : [];
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(record) : [];
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
