/** When the writer of a tiny guest began each of its records, read out of a disk that nobody uses any more. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../process/run.ts';

/** Bytes of a record: number, seconds since 1970 of the guest's clock, checksum (fixtures/make-guest.sh). */
const recordBytes = 64;

/** @returns milliseconds. @throws Error when a record is missing */
export async function journalTimes(options: {
  readonly image: string;
  /** For copies. */
  readonly dir: string;
  readonly signal: AbortSignal;
}): Promise<readonly number[]> {
  const { image, dir, signal } = options;
  const raw = join(dir, 'journal-disk.raw');
  const journal = join(dir, 'journal.log');
  await run({ command: ['qemu-img', 'convert', '-O', 'raw', image, raw], signal });
  // The plug was pulled: the file system's own journal is replayed first. Exit code 1 says that this was needed.
  await run({ command: ['sh', '-c', 'e2fsck -fy "$1" || [ $? -eq 1 ]', 'sh', raw], signal });
  await run({ command: ['debugfs', '-R', `dump /journal.log ${journal}`, raw], signal });
  const text = await readFile(journal, 'latin1');
  return Array.from({ length: Math.floor(text.length / recordBytes) }, (_, index) => {
    const [sequence = '', seconds = ''] = text.slice(index * recordBytes, (index + 1) * recordBytes).split(' ');
    if (Number(sequence) !== index + 1) throw new Error(`record ${index + 1} of ${image} is missing`);
    return Number(seconds) * 1000;
  });
}
