/** The dirty bitmaps in a qcow2 image that no machine uses, by qemu-img. */
import { HoldfastError } from '@holdfast/base';
import { runQemuImg } from './qemu-img.ts';

export type ImageBitmap = {
  readonly name: string;
  /** QEMU did not end cleanly since it was made: it may lack writes. */
  readonly isInconsistent: boolean;
};

type Request = { readonly path: string; readonly signal?: AbortSignal | undefined };

/** Of our own bitmaps: as fine as what a backup reads. */
const GRANULARITY_BYTES = 65_536;

export type ImageBitmaps = {
  readonly bitmaps: readonly ImageBitmap[];
  /** Of version 2 (`compat=0.10`), which has no room for bitmaps. */
  readonly isOld: boolean;
};

/** @throws source_not_found, source_unreadable (also: in use), qemu_failed */
export async function listImageBitmaps(request: Request): Promise<readonly ImageBitmap[]> {
  return (await readImageBitmaps(request)).bitmaps;
}

/** @throws source_not_found, source_unreadable (also: in use), qemu_failed */
export async function readImageBitmaps({ path, signal }: Request): Promise<ImageBitmaps> {
  const output = await runQemuImg({
    args: ['info', '--output=json', '-f', 'qcow2', `file:${path}`],
    doing: `list the bitmaps of ${path}`,
    role: 'source',
    signal,
  });
  const info: unknown = JSON.parse(output);
  return { bitmaps: bitmapsIn(info, path), isOld: isOldQcow2(record(info)['format-specific']) };
}

/** An image of a chain: `name` is its path, or what QEMU calls it when it is no file. */
export type LayerBelow = { readonly name: string; readonly format: string; readonly bitmaps: readonly string[] };

/**
 * The images below this one, the topmost first. A bitmap that is there too lies in layers: each of them holds only what was
 * written to its image. Nothing is locked.
 * @throws source_not_found, source_unreadable, qemu_failed
 */
export async function layersBelow({ path, signal }: Request): Promise<readonly LayerBelow[]> {
  const output = await runQemuImg({
    args: ['info', '--output=json', '--backing-chain', '--force-share', '-f', 'qcow2', `file:${path}`],
    doing: `list the bitmaps below ${path}`,
    role: 'source',
    signal,
  });
  const chain: unknown = JSON.parse(output);
  return (Array.isArray(chain) ? chain.slice(1) : []).map((image: unknown) => {
    const { filename, format } = record(image);
    if (typeof filename !== 'string' || typeof format !== 'string') {
      throw new HoldfastError('qemu_failed', `qemu-img info of ${path} lacks a name or a format`);
    }
    const name = filename.replace(/^file:/, '');
    return { name, format, bitmaps: bitmapsIn(image, path).map((bitmap) => bitmap.name) };
  });
}

/** @param specific as qemu-img and QEMU's monitor tell it: `{ type: 'qcow2', data: { compat: '0.10' } }` */
export function isOldQcow2(specific: unknown): boolean {
  return record(record(specific)['data'])['compat'] === '0.10';
}

/** Of what `qemu-img info` says of an image. */
function bitmapsIn(info: unknown, path: string): readonly ImageBitmap[] {
  const { bitmaps } = record(record(record(info)['format-specific'])['data']);
  return (Array.isArray(bitmaps) ? bitmaps : []).map((bitmap: unknown): ImageBitmap => {
    const { name, flags } = record(bitmap);
    if (typeof name !== 'string') throw new HoldfastError('qemu_failed', `qemu-img info of ${path} lacks a name`);
    return { name, isInconsistent: Array.isArray(flags) && flags.includes('in-use') };
  });
}

/** From now on it notes what is written. @throws target_unwritable (also: in use), target_full, qemu_failed */
export async function addImageBitmap({ path, name, signal }: Request & { readonly name: string }): Promise<void> {
  await runQemuImg({
    args: ['bitmap', '--add', '-g', String(GRANULARITY_BYTES), '-f', 'qcow2', `file:${path}`, name],
    doing: `add a bitmap to ${path}`,
    role: 'target',
    signal,
  });
}

/** Also one that is inconsistent. @throws bitmap_not_found, target_unwritable (also: in use), qemu_failed */
export async function removeImageBitmap({ path, name, signal }: Request & { readonly name: string }): Promise<void> {
  await runQemuImg({
    args: ['bitmap', '--remove', '-f', 'qcow2', `file:${path}`, name],
    doing: `remove a bitmap of ${path}`,
    role: 'target',
    signal,
  });
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
