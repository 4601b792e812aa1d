/** The file of changed extents that `backup --changed` takes: a JSON array of {"offset", "length"} in bytes. */
import { readFile, stat } from 'node:fs/promises';
import { type Extent, formatBytes, HoldfastError, MiB } from '@holdfast/base';

/** About five million extents; whoever has more merges neighbours, or takes a bitmap. */
const maximumFileBytes = 256 * MiB;

/** @throws changed_extents_invalid, also when an extent reaches beyond the disk */
export async function readChangedExtents(options: {
  readonly file: string;
  readonly diskBytes: number;
  readonly signal: AbortSignal;
}): Promise<readonly Extent[]> {
  const { file, diskBytes, signal } = options;
  let text: string;
  try {
    const { size } = await stat(file);
    if (size > maximumFileBytes)
      throw invalid(file, `it has ${formatBytes(size)}, more than ${formatBytes(maximumFileBytes)}`);
    text = await readFile(file, { encoding: 'utf8', signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof HoldfastError ? cause : invalid(file, 'it cannot be read', cause);
  }
  return parseChangedExtents({ file, text, diskBytes });
}

/** Empty extents are allowed; order and overlaps do not matter. @throws changed_extents_invalid */
export function parseChangedExtents(options: {
  readonly file: string;
  readonly text: string;
  readonly diskBytes: number;
}): readonly Extent[] {
  const { file, text, diskBytes } = options;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw invalid(file, 'it is not JSON', cause);
  }
  if (!Array.isArray(content)) throw invalid(file, 'it is not an array');
  return content.map((item: unknown, index) => {
    if (!isExtent(item)) throw invalid(file, `entry ${index} is not {"offset", "length"} in whole bytes`);
    const { offset, length } = item;
    if (offset + length > diskBytes) {
      throw invalid(file, `entry ${index} ends at ${offset + length}, outside of the disk of ${diskBytes} bytes`);
    }
    return { offset, length };
  });
}

function isExtent(item: unknown): item is Extent {
  if (typeof item !== 'object' || item === null || Object.keys(item).length !== 2) return false;
  return 'offset' in item && 'length' in item && isByteCount(item.offset) && isByteCount(item.length);
}

function isByteCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function invalid(file: string, why: string, cause?: unknown): HoldfastError {
  return new HoldfastError('changed_extents_invalid', `${file} is not usable: ${why}.`, { cause, facts: { file } });
}
