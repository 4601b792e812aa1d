/** `qemu-img info` of one image, the parts that we decide by. */
import { HoldfastError } from '@holdfast/base';
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

export function parseImageInfo(output: string, path: string): ImageInfo {
  let parsed: unknown;
  try {
    parsed = JSON.parse(output);
  } catch (error) {
    throw new HoldfastError('qemu_failed', `qemu-img info of ${path} gave no JSON`, { cause: error });
  }
  const info = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Readonly<Record<string, unknown>>;
  const { format, 'virtual-size': size } = info;
  if (typeof format !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new HoldfastError('qemu_failed', `qemu-img info of ${path} lacks format or size`);
  }
  return { format, virtualSizeBytes: size };
}
