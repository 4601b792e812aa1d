/**
 * Whether a QEMU program has a file open for writing. QEMU marks that with an OFD lock on byte 101 (its permission bit
 * WRITE), which the kernel lists; asking QEMU instead costs a process, and readers of raw images are not refused by it.
 */
import type { BigIntStats } from 'node:fs';
import { readFile } from 'node:fs/promises';

const WRITE_PERMISSION_BYTE = 101;

/** False also where the lock cannot be seen (another machine on NFS, file systems with hidden device numbers). */
export async function isWrittenByQemu(stats: BigIntStats): Promise<boolean> {
  const locks = await readFile('/proc/locks', 'latin1').catch(() => '');
  return hasWriteLock(locks, stats);
}

/** @param locks text of /proc/locks: `1: OFDLCK ADVISORY READ -1 fe:00:1234 101 101` a line. */
export function hasWriteLock(locks: string, { dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): boolean {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  for (const line of locks.split('\n')) {
    const found = /OFDLCK.* ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF)$/.exec(line);
    if (!found) continue;
    const [, atMajor, atMinor, inode, first, last] = found as unknown as readonly string[];
    const isFile = BigInt(`0x${atMajor}`) === major && BigInt(`0x${atMinor}`) === minor && inode === String(ino);
    const isWrite = Number(first) <= WRITE_PERMISSION_BYTE && (last === 'EOF' || Number(last) >= WRITE_PERMISSION_BYTE);
    if (isFile && isWrite) return true;
  }
  return false;
}
