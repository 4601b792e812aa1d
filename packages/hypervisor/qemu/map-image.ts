/**
 * `qemu-img map`: which ranges of an image read as zeros. Chosen for sparse raw files because Node has no SEEK_HOLE:
 * 6 ms for a 4 TiB sparse file with one extent, 260 ms for 100 000 extents, any file system. filefrag is quicker
 * (2 ms, 43 ms) but reports preallocated ranges as data and fails where there is no FIEMAP (NFS, tmpfs).
 */
import { type BlockExtent, type Extent, HoldfastError } from '@holdfast/base';
import { type QemuImgRun, qemuImgLines } from './qemu-img.ts';

/**
 * Ascending extents of `range` as qemu-img sees them (it rounds the size of a raw file up to 512 bytes).
 * @throws source_unreadable when the image is locked, qemu_failed
 */
export async function* mapImage(options: {
  readonly path: string;
  /** The path as the user knows it, for messages. */
  readonly name: string;
  readonly format: 'raw' | 'qcow2';
  readonly range: Extent;
  readonly signal?: AbortSignal | undefined;
}): AsyncGenerator<BlockExtent, void, undefined> {
  const { path, name, format, range, signal } = options;
  const run: QemuImgRun = {
    args: [
      'map',
      '--output=json',
      `--start-offset=${range.offset}`,
      `--max-length=${range.length}`,
      '-f',
      format,
      // Plain file names may hold colons, which QEMU would take for a protocol.
      `file:${path}`,
    ],
    doing: `read the map of ${name}`,
    role: 'source',
    signal,
  };
  for await (const line of qemuImgLines(run)) {
    const extent = parseMapLine(line, name);
    if (extent) yield extent;
  }
}

/** One line is `[{...},`, `{...},` or `{...}]`; an image without extents gives `[]`. */
export function parseMapLine(line: string, path: string): BlockExtent | undefined {
  const text = line
    .trim()
    .replace(/^\[/, '')
    .replace(/[,\]]$/, '');
  if (text === '') return undefined;
  let entry: unknown;
  try {
    entry = JSON.parse(text);
  } catch (error) {
    throw mapInvalid(line, path, error);
  }
  if (typeof entry !== 'object' || entry === null) throw mapInvalid(line, path);
  const { start, length, zero } = entry as Readonly<Record<string, unknown>>;
  if (!isOffset(start) || !isOffset(length) || length === 0 || typeof zero !== 'boolean') throw mapInvalid(line, path);
  return { offset: start, length, zero };
}

function isOffset(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function mapInvalid(line: string, path: string, cause?: unknown): HoldfastError {
  return new HoldfastError('qemu_failed', `qemu-img map of ${path} said ${JSON.stringify(line.slice(0, 200))}`, {
    cause,
  });
}
