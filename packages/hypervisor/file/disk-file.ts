/**
 * What a path is and how large the disk in it is. Node reports size 0 for block devices; the kernel's own figure in
 * sysfs needs no program and no ioctl.
 */
import type { BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';

export type DiskFileKind = 'regular' | 'block-device' | 'directory' | 'other';

export function diskFileKind(stats: BigIntStats): DiskFileKind {
  if (stats.isFile()) return 'regular';
  if (stats.isBlockDevice()) return 'block-device';
  return stats.isDirectory() ? 'directory' : 'other';
}

/** Bytes of the disk behind `stats`, which is of kind `regular` or `block-device`. Rejects with the errno of sysfs. */
export async function diskFileSizeBytes(stats: BigIntStats): Promise<number> {
  if (stats.isFile()) return Number(stats.size);
  const { major, minor } = deviceNumbers(stats.rdev);
  const sectors = await readFile(`/sys/dev/block/${major}:${minor}/size`, 'latin1');
  // sysfs counts in units of 512 bytes whatever the device's sector size is.
  return Number.parseInt(sectors, 10) * 512;
}

/** glibc's `dev_t`: the minor's low 8 bits, then 12 bits of major, then the minor's rest, then the major's rest. */
function deviceNumbers(rdev: bigint): { major: bigint; minor: bigint } {
  return {
    major: ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n),
    minor: (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n),
  };
}
