/** qcow2 images for the bench: conversion, and a change recorded by a persistent dirty bitmap as QEMU itself does it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Extent } from '@holdfast/base';
import { run } from '../process/run.ts';
import type { ChangeSet } from './change-set.ts';
import { joined } from './extents.ts';

export const bitmapName = 'since-full';

export async function convertToQcow2(options: {
  readonly raw: string;
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { raw, path, signal } = options;
  await run({ command: ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, path], signal });
}

/** Copies `base`, gives the copy a bitmap of 64 KiB granularity, then writes the change through QEMU's block layer. */
export async function changedQcow2(options: {
  readonly base: string;
  readonly path: string;
  readonly set: ChangeSet;
  readonly granuleBytes: number;
  readonly workDir: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<void> {
  const { base, path, set, granuleBytes, workDir, signal } = options;
  await run({ command: ['cp', '--sparse=always', base, path], signal });
  await run({ command: ['qemu-img', 'bitmap', '--add', '-g', String(granuleBytes), path, bitmapName], signal });
  const pieces = join(workDir, 'pieces');
  await mkdir(pieces, { recursive: true });
  await using content = await open(set.contentPath, 'r');
  const commands: string[] = [];
  let from = 0;
  for (const [index, { offset, length }] of set.writes.entries()) {
    const piece = join(pieces, String(index));
    const bytes = Buffer.alloc(length);
    await content.read(bytes, 0, length, from);
    await writeFile(piece, bytes);
    commands.push(`write -q -s ${piece} ${offset} ${length}\n`);
    from += length;
  }
  await run({ command: ['qemu-io', '-f', 'qcow2', path], input: commands.join(''), signal });
  await rm(pieces, { recursive: true });
}

/** What a persistent bitmap records, read over NBD from a qemu-storage-daemon. */
export async function bitmapExtents(options: {
  readonly path: string;
  readonly bitmap: string;
  readonly workDir: string;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly Extent[]> {
  const { path, bitmap, workDir, signal } = options;
  const socket = join(workDir, 'bitmap.sock');
  await using _daemon = await exportBitmap({ path, bitmap, socket, signal });
  const image = [
    'driver=nbd,server.type=unix',
    `server.path=${socket}`,
    'export=disk',
    `x-dirty-bitmap=qemu:dirty-bitmap:${bitmap}`,
  ].join(',');
  const text = await run({ command: ['qemu-img', 'map', '--output=json', '--image-opts', image], signal });
  // With x-dirty-bitmap QEMU answers block status from the bitmap: "data" is what is clean.
  const entries = JSON.parse(text) as readonly {
    readonly start: number;
    readonly length: number;
    readonly data: boolean;
  }[];
  return joined(entries.filter((entry) => !entry.data).map(({ start, length }) => ({ offset: start, length })));
}

async function exportBitmap(options: {
  readonly path: string;
  readonly bitmap: string;
  readonly socket: string;
  readonly signal: AbortSignal | undefined;
}): Promise<AsyncDisposable> {
  const { path, bitmap, socket, signal } = options;
  const daemon = spawn(
    'qemu-storage-daemon',
    [
      ...['--blockdev', `driver=qcow2,node-name=disk,read-only=on,file.driver=file,file.filename=${path}`],
      ...['--nbd-server', `addr.type=unix,addr.path=${socket}`],
      ...['--export', `type=nbd,id=disk,node-name=disk,name=disk,bitmaps.0=${bitmap}`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], signal },
  );
  const ended = once(daemon, 'exit');
  for (let tries = 0; daemon.exitCode === null && tries < 100; tries += 1) {
    if (await stat(socket).catch(() => undefined)) break;
    await sleep(20, undefined, { signal });
  }
  return {
    [Symbol.asyncDispose]: async () => {
      daemon.kill();
      await ended;
    },
  };
}
