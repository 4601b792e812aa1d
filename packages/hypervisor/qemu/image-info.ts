/** `qemu-img info` of one image, the parts that we decide by. */
import { HoldfastError } from '@holdfast/base';
import { qcow2Options } from './image-options.ts';
import { type ImageRole } from './qemu-errors.ts';
import { runQemuImg } from './qemu-img.ts';

export type ImageInfo = { readonly format: string; readonly virtualSizeBytes: number };

/** @throws source_not_found, source_unreadable (target_unwritable by role), qemu_failed */
export async function readImageInfo(options: {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly role: ImageRole;
  readonly signal?: AbortSignal | undefined;
}): Promise<ImageInfo> {
  const { path, format, role, signal } = options;
  const output = await runQemuImg({
    args: ['info', '--output=json', '-f', format, `file:${path}`],
    doing: `look at ${path}`,
    role,
    signal,
  });
  return parseImageInfo(output, path);
}

/** Names of the dirty bitmaps that the qcow2 image holds. @throws source_not_found, volume_busy, qemu_failed */
export async function readBitmapNames(options: {
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly string[]> {
  const { path, signal } = options;
  const image = await qcow2Options({ path, locking: 'auto' });
  const output = await runQemuImg({
    args: ['info', '--output=json', '--image-opts', image],
    doing: `look at the bitmaps of ${path}`,
    role: 'volume',
    signal,
  });
  const info = (parseJson(output, path) ?? {}) as {
    readonly 'format-specific'?: { readonly data?: { readonly bitmaps?: readonly { readonly name: string }[] } };
  };
  return (info['format-specific']?.data?.bitmaps ?? []).map(({ name }) => name);
}

/** An image of a chain: `name` is its path, or what QEMU calls it when it is no file. */
export type BackingImage = { readonly name: string; readonly format: string };

/**
 * The images below this one, the topmost first; empty when it stands alone. Nothing is locked, so that it may be in use.
 * @throws source_not_found (also: an image of the chain is gone), source_unreadable, qemu_failed
 */
export async function readBackingChain(options: {
  readonly path: string;
  readonly format: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly BackingImage[]> {
  const { path, format, signal } = options;
  const output = await runQemuImg({
    args: ['info', '--output=json', '--backing-chain', '--force-share', '-f', format, `file:${path}`],
    doing: `look at the chain of ${path}`,
    role: 'source',
    signal,
  });
  const chain = parseJson(output, path);
  if (!Array.isArray(chain)) throw new HoldfastError('qemu_failed', `qemu-img info of ${path} gave no chain`);
  return chain.slice(1).map((image: unknown) => {
    const { filename, format: of } = (image ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof filename !== 'string' || typeof of !== 'string') {
      throw new HoldfastError('qemu_failed', `qemu-img info of ${path} lacks a name or a format`);
    }
    return { name: filename.replace(/^file:/, ''), format: of };
  });
}

export function parseImageInfo(output: string, path: string): ImageInfo {
  const parsed = parseJson(output, path);
  const info = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Readonly<Record<string, unknown>>;
  const { format, 'virtual-size': size } = info;
  if (typeof format !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new HoldfastError('qemu_failed', `qemu-img info of ${path} lacks format or size`);
  }
  return { format, virtualSizeBytes: size };
}

function parseJson(output: string, path: string): unknown {
  try {
    return JSON.parse(output);
  } catch (error) {
    throw new HoldfastError('qemu_failed', `qemu-img info of ${path} gave no JSON`, { cause: error });
  }
}
