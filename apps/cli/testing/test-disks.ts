/** Small disks with content, and ways to compare them. */
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { glob, open, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';

export type Patch = { readonly offset: number; readonly bytes: Buffer };

/** A sparse file of this size with random bytes at the beginning; holes and zeros after them. */
export async function makeDisk(options: {
  readonly path: string;
  readonly sizeBytes: number;
  readonly dataBytes: number;
}): Promise<string> {
  const { path, sizeBytes, dataBytes } = options;
  await using file = await open(path, 'w');
  await file.writeFile(randomBytes(dataBytes));
  await file.truncate(sizeBytes);
  return path;
}

export async function patchDisk(path: string, ...patches: readonly Patch[]): Promise<void> {
  await using file = await open(path, 'r+');
  for (const { offset, bytes } of patches) await file.write(bytes, 0, bytes.length, offset);
}

export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(path)) hash.update(part);
  return hash.digest('hex');
}

/** What a program printed. @throws Error with its messages when it fails */
export async function runTool(tool: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(tool, [...args]);
  return stdout;
}

/** Ids of the processes that have this file open. */
export async function processesWithOpen(path: string): Promise<readonly string[]> {
  const links = await Array.fromAsync(glob('/proc/[0-9]*/fd/*'), async (link) => ({
    link,
    target: await readlink(link).catch(() => ''),
  }));
  return links.filter(({ target }) => target === path).map(({ link }) => link.split('/')[2]!);
}
