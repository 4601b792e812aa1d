/** The images that guests are made of: built by scripts in fixtures/, the parts that never change only once. */
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { systemErrorCode } from '@holdfast/base';
import { runProgram } from './run-program.ts';

const root = resolve(import.meta.dirname, '../../..');
const script = join(root, 'fixtures/make-guest.sh');
const debianScript = join(root, 'fixtures/make-debian-guest.sh');
const cache = join(root, '.cache/guests');

/** What hosts share. libvirt asks every QEMU what it can do, for 9 s, and knows itself when to ask again. */
export const guestCaches = { capabilities: join(cache, 'libvirt') } as const;

export type GuestKernel = { readonly kernel: string; readonly initrd: string };

/** Kernel and initrd of the tiny guest: 5 s to make, and 28 MB of packages. */
export async function provideGuestKernel(): Promise<GuestKernel> {
  const made = await provide({ script, name: 'tiny', argsFor: (folder) => ['initramfs', folder] });
  return kernelIn(made);
}

/** A real Debian with two databases. */
export async function provideDebian(): Promise<GuestKernel & { readonly disk: string }> {
  const made = await provide({ script: debianScript, name: 'debian', argsFor: (folder) => [folder] });
  return { ...kernelIn(made), disk: join(made, 'debian.qcow2') };
}

function kernelIn(folder: string): GuestKernel {
  return { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.img') };
}

/** A disk with an ext4 file system and a few files, other ones for each `index` of the guest's disks (0.6 s to make). */
export async function makeDataDisk(options: {
  readonly path: string;
  readonly index: number;
  readonly sizeBytes: number;
  readonly format: 'qcow2' | 'raw';
}): Promise<void> {
  const { path, index, sizeBytes, format } = options;
  const made = await provide({
    script,
    name: `data-${index}-${sizeBytes}-${format}`,
    argsFor: (folder) => ['data', join(folder, 'disk'), String(sizeBytes), format],
  });
  await copyImage(join(made, 'disk'), path);
}

export async function copyImage(from: string, to: string): Promise<void> {
  await runProgram({ program: 'cp', args: ['--sparse=always', '--reflink=auto', from, to] });
}

/**
 * A folder in .cache/guests with what the script makes there; made again when the script has changed. Two makers at once
 * do no harm: both make the same, and the first stays.
 */
async function provide(image: {
  readonly script: string;
  readonly name: string;
  readonly argsFor: (folder: string) => readonly string[];
}): Promise<string> {
  const { script, name, argsFor } = image;
  const version = createHash('sha256').update(await readFile(script));
  const made = join(cache, `${name}-${version.digest('hex').slice(0, 12)}`);
  if (await exists(made)) return made;
  await mkdir(cache, { recursive: true });
  const building = await mkdtemp(join(cache, 'building-'));
  try {
    await runProgram({ program: script, args: argsFor(building), environment: { CACHE: cache } });
    await rename(building, made);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOTEMPTY') throw error;
  } finally {
    await rm(building, { recursive: true, force: true });
  }
  return made;
}

export type JournalReport = {
  readonly file: string;
  /** Records of the guest's writer that were found, and the numbers of the first and the last. */
  readonly records: number;
  readonly first: number | null;
  readonly last: number;
  /** Torn records, and places where a number is missing. Both are 0 in a disk that can be trusted. */
  readonly bad: number;
  readonly gaps: number;
  /** 1 when the file system was not unmounted or frozen before: its own journal had to be replayed. */
  readonly needs_recovery: number;
};

/**
 * Reads the writer's journal back from every disk, none of which is changed or need be closed. Of disks of one moment,
 * in the order in which the guest has them, each `last` is that of the one before or one less.
 */
export async function readJournals(files: readonly string[]): Promise<readonly JournalReport[]> {
  const output = await runProgram({ program: script, args: ['check', ...files] });
  return output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as JournalReport);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
