/** What happens to a disk between two backups, as data: the same list makes the same disk on every machine. */
import type { Extent } from '@holdfast/base';
import type { MemoryDisk } from './memory-disk.ts';

export type DiskChange =
  /** Bytes that do not compress. */
  | (Extent & { readonly kind: 'noise'; readonly seed: number })
  /** Bytes that compress well. */
  | (Extent & { readonly kind: 'text'; readonly seed: number })
  /** Makes a hole. */
  | (Extent & { readonly kind: 'hole' })
  /** Zeros that the disk does not tell from data. */
  | (Extent & { readonly kind: 'zeros' })
  /** The bytes of another place of the disk. */
  | (Extent & { readonly kind: 'copy'; readonly from: number })
  /** One bit is turned over at `offset`. */
  | (Extent & { readonly kind: 'flip' });

/** Extents inside the disk; reaching over its end is cut off. */
export function applyChange(disk: MemoryDisk, change: DiskChange): void {
  const { offset } = change;
  const length = Math.max(0, Math.min(change.length, disk.sizeBytes - offset));
  if (length === 0) return;
  switch (change.kind) {
    case 'noise':
      disk.write(noise({ seed: change.seed, length }), offset);
      break;
    case 'text':
      disk.write(text({ seed: change.seed, length }), offset);
      break;
    case 'hole':
      disk.zero({ offset, length });
      break;
    case 'zeros':
      disk.write(Buffer.alloc(length), offset);
      break;
    case 'copy': {
      const content = Buffer.alloc(Math.min(length, disk.sizeBytes - change.from));
      disk.read(content, change.from);
      disk.write(content, offset);
      break;
    }
    case 'flip': {
      const byte = Buffer.alloc(1);
      disk.read(byte, offset);
      byte[0]! ^= 1 << (offset & 7);
      disk.write(byte, offset);
      break;
    }
    default:
      change satisfies never;
  }
}

/** Bytes of a xorshift generator; nothing compresses them. */
export function noise({ seed, length }: { readonly seed: number; readonly length: number }): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x2545f491) >>> 0 || 1;
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state >>> 0;
  }
  return Buffer.from(words.buffer, 0, length);
}

/** Lines that say which; zstd makes a few hundred bytes of 64 KiB. */
export function text({ seed, length }: { readonly seed: number; readonly length: number }): Buffer {
  return Buffer.alloc(length, `line ${seed} of a log file that repeats itself\n`);
}
