/** Restores that are killed: in place they are run again, and a new file never passes for a disk before it is one. */
import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { noise } from '../../packages/testing/index.ts';
import { type DiskContent, type DiskFormat, runTool, sha256 } from './machine-disk.ts';
import { BrokenPromise, type PointRecord } from './point-book.ts';
import type { Deed, Site } from './site.ts';

/** As the targets of restores are marked until they are whole. */
const unfinishedMode = 0o200;

export async function restoreInPlace(site: Site): Promise<Deed | undefined> {
  const chosen = choose(site);
  if (!chosen) return undefined;
  const { record, format } = chosen;
  const [name, content] = site.dice.pick([...record.disks]);
  const path = join(site.directory, 'restored', site.newName('target'));
  await makeOther({ path, format, content, seed: site.dice.below(2 ** 31) });
  const disk = ['--disk', name, '--to', path, '--format', format, '--force'];
  const deed = { words: ['restore', '--storage', site.place.url, record.id!, ...disk] };
  return {
    ...deed,
    watched: [site.place.directory, join(site.directory, 'restored')],
    refusals: ['point_not_found'],
    recover: async (run) => {
      if (run.outcome === 'failed') return await rm(path);
      if (run.outcome === 'killed') await site.run(deed);
      await proveFile({ path, format, content });
      await rm(path);
    },
  };
}

export async function restoreBeside(site: Site): Promise<Deed | undefined> {
  const chosen = choose(site);
  if (!chosen) return undefined;
  const { record, format } = chosen;
  const folder = join(site.directory, 'restored', site.newName('folder'));
  await mkdir(folder);
  const where = ['--to-dir', folder, '--format', format];
  const words = ['restore', '--storage', site.place.url, record.id!, ...where];
  return {
    words,
    watched: [site.place.directory, folder],
    refusals: ['point_not_found'],
    recover: async (run) => {
      const files = [...record.disks].map(([name, content]) => ({
        path: join(folder, `${name}.${format}`),
        format,
        content,
      }));
      if (run.outcome === 'killed') {
        for (const file of files) if (await passesForDisk(file.path)) await proveFile(file);
        await site.run({ words: [...words, '--force'] });
      }
      if (run.outcome !== 'failed') for (const file of files) await proveFile(file);
      await rm(folder, { recursive: true });
    },
  };
}

function choose({ book, dice }: Site): { readonly record: PointRecord; readonly format: DiskFormat } | undefined {
  const records = book.all('available');
  if (records.length === 0) return undefined;
  return { record: dice.pick(records), format: dice.pick(['raw', 'qcow2']) };
}

type RestoredFile = { readonly path: string; readonly format: DiskFormat; readonly content: DiskContent };

/** A disk that is to be written over: noise in the first half, nothing behind it. */
async function makeOther({ path, format, content, seed }: RestoredFile & { readonly seed: number }): Promise<void> {
  const bytes = Buffer.alloc(content.sizeBytes);
  noise({ seed, length: content.sizeBytes / 2 }).copy(bytes);
  if (format === 'raw') return await writeFile(path, bytes);
  await writeFile(`${path}.raw`, bytes);
  await runTool('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', `${path}.raw`, path]);
  await rm(`${path}.raw`);
}

async function passesForDisk(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found !== undefined && (found.mode & 0o777) !== unfinishedMode;
}

async function proveFile({ path, format, content }: RestoredFile): Promise<void> {
  if (!(await passesForDisk(path))) throw new BrokenPromise(`${path} was restored, and is marked as unfinished.`);
  let bytes: Buffer;
  if (format === 'raw') {
    bytes = await readFile(path);
  } else {
    await runTool('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', path, `${path}.raw`]);
    // A qcow2 image has whole sectors.
    bytes = (await readFile(`${path}.raw`)).subarray(0, content.sizeBytes);
    await rm(`${path}.raw`);
  }
  if (bytes.length === content.sizeBytes && sha256(bytes) === content.sha256) return;
  throw new BrokenPromise(`${path} is not what was to be restored.`);
}
