/**
 * What the guests' disks hold: the image of `bench/peers` or the beginning of it, placed behind 1 MiB of nothing, where a
 * partition begins on most machines. There the guest finds no file system to mount, so the disk is still while it runs
 * and can be compared byte by byte; whoever changes it is the bench, through the guest's own QEMU.
 */
import { open } from 'node:fs/promises';
import { MiB } from '@holdfast/base';
import type { BenchImage } from '../image/build.ts';
import type { ChangeSet } from '../image/change-set.ts';
import { createKeystream } from '../image/keystream.ts';
import { layRegions } from '../image/layout.ts';
import { logText } from '../image/log-text.ts';
import { recipe } from '../image/recipe.ts';
import { run } from '../process/run.ts';
import type { LiveWrite } from './live-writes.ts';

const leadBytes = MiB;

/** A qcow2 image with the first `sizeBytes` of the bench image, without what is random there: nobody makes that smaller. */
export async function placeMaterial(options: {
  readonly image: BenchImage;
  readonly sizeBytes: number;
  readonly path: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { image, sizeBytes, path, signal } = options;
  await run({ command: ['qemu-img', 'create', '-q', '-f', 'qcow2', path, String(leadBytes + sizeBytes)], signal });
  const source = `driver=raw,offset=0,size=${sizeBytes},file.driver=file,file.filename=${image.raw}`;
  const target = partOptions({ path, format: 'qcow2', sizeBytes });
  const how = ['--image-opts', '-n', '--target-image-opts'] as const;
  await run({ command: ['qemu-img', 'convert', ...how, source, target], signal });
  const random = layRegions(recipe).filter((region) => region.kind === 'random' && region.offset < sizeBytes);
  const discards = random.flatMap(({ offset, length }) => ['-c', `write -z -u ${leadBytes + offset} ${length}`]);
  await run({ command: ['qemu-io', '-f', 'qcow2', ...discards, path], signal });
}

/** The change of `bench/peers` as writes to the disk. */
export async function* changesOf(set: ChangeSet): AsyncGenerator<LiveWrite> {
  await using content = await open(set.contentPath, 'r');
  let from = 0;
  for (const { offset, length } of set.writes) {
    const bytes = Buffer.alloc(length);
    await content.read(bytes, 0, length, from);
    yield { offset: leadBytes + offset, bytes };
    from += length;
  }
}

/** `count` writes of 1 MiB at different places of a disk, every second one random, the others text. */
export function* mixedChanges(options: {
  readonly label: string;
  readonly count: number;
  readonly diskBytes: number;
}): Generator<LiveWrite> {
  const { label, count, diskBytes } = options;
  const keystream = createKeystream(label);
  const taken = new Set<number>();
  while (taken.size < count) {
    const place = keystream.below(Math.floor(diskBytes / MiB));
    if (taken.has(place)) continue;
    taken.add(place);
    const bytes = taken.size % 2 === 0 ? logText({ keystream, sizeBytes: MiB }) : keystream.bytes(MiB);
    yield { offset: place * MiB, bytes };
  }
}

function partOptions(options: {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly sizeBytes: number;
}): string {
  const { path, format, sizeBytes } = options;
  return `driver=raw,offset=${leadBytes},size=${sizeBytes},${nestedOptions(path, format)}`;
}

function nestedOptions(path: string, format: 'raw' | 'qcow2'): string {
  return `file.driver=${format},file.file.driver=file,file.file.filename=${path}`;
}
