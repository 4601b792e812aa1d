/** The bootable disk of the story: built by the fixture once (3 s, and a download of 27 MB), then taken from .cache/. */
import { copyFile, constants, mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './run-command.ts';

export type DemoDiskRequest = { readonly root: string; readonly to: string; readonly signal: AbortSignal };

/** Leaves a fresh copy of the disk at `to` (qcow2, 512 MiB virtual, about 125 MiB of data). */
export async function provideDemoDisk({ root, to, signal }: DemoDiskRequest): Promise<{ cached: boolean }> {
  const fixture = join(root, 'fixtures/make-guest.sh');
  const cache = join(root, '.cache/guests');
  const cachedDisk = join(cache, 'demo.qcow2');
  const cached = await isNewer(cachedDisk, fixture);
  if (!cached) {
    const building = join(cache, `building-${process.pid}`);
    await mkdir(building, { recursive: true });
    try {
      await runCommand({ program: fixture, args: ['disk-tiny', building], environment: { CACHE: cache }, signal });
      await rename(join(building, 'tiny.qcow2'), cachedDisk);
    } finally {
      await rm(building, { recursive: true, force: true });
    }
  }
  await copyFile(cachedDisk, to, constants.COPYFILE_FICLONE);
  return { cached };
}

async function isNewer(file: string, than: string): Promise<boolean> {
  const made = await stat(file).catch(() => undefined);
  return made !== undefined && made.mtimeMs > (await stat(than)).mtimeMs;
}
