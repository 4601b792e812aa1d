/** For the tests of this package: a directory that goes away, QEMU's programs, and whole disks as buffers. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BlockExtent, type BlockSource, MiB } from '@holdfast/base';

export async function scratchDirectory(): Promise<AsyncDisposable & { readonly path: (name: string) => string }> {
  const directory = await mkdtemp(join(tmpdir(), 'holdfast-test-'));
  return {
    path: (name) => join(directory, name),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}

export function run(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs qemu-io commands on an image. */
export function qemuIo(format: string, image: string, ...commands: readonly string[]): void {
  run('qemu-io', '-f', format, ...commands.flatMap((command) => ['-c', command]), image);
}

/** Something that has the image open for writing, as a running machine. */
export async function openElsewhere(image: string): Promise<AsyncDisposable> {
  const child = spawn('qemu-io', ['-f', 'qcow2', image], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.write('write -P 9 0 64k\n');
  for (let shown = ''; !shown.includes('wrote'); ) shown += String((await once(child.stdout, 'data'))[0]);
  return {
    async [Symbol.asyncDispose]() {
      child.stdin.end('quit\n');
      await once(child, 'close');
    },
  };
}

/** The whole disk, reading only what `extents` does not promise to be zero. */
export async function readThroughExtents(source: BlockSource): Promise<Buffer> {
  const disk = Buffer.alloc(source.sizeBytes);
  let expected = 0;
  for await (const extent of source.extents({ offset: 0, length: source.sizeBytes })) {
    if (extent.offset !== expected || extent.length <= 0) throw new Error(`extent out of order: ${show(extent)}`);
    expected += extent.length;
    if (extent.zero) continue;
    for (let at = extent.offset; at < expected; at += MiB) {
      await source.read({ into: disk.subarray(at, Math.min(at + MiB, expected)), offset: at });
    }
  }
  if (expected !== source.sizeBytes) throw new Error(`extents end at ${expected}`);
  return disk;
}

function show(extent: BlockExtent): string {
  return JSON.stringify(extent);
}
