/**
 * The raw image that the contenders back up: a copy of the cached one under one path for the whole run, because the
 * peers find the previous backup of a file by its path.
 */
import { open, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import type { BenchImage } from '../image/build.ts';
import { applyToRaw, type ChangeSet } from '../image/change-set.ts';
import { complement, intersection } from '../image/extents.ts';
import { copyRange } from '../image/assemble.ts';
import { run } from '../process/run.ts';
import type { WorkingDisk } from './contender.ts';

export async function createWorkingDisk(options: {
  readonly image: BenchImage;
  readonly dir: string;
  readonly signal: AbortSignal;
}): Promise<WorkingDisk> {
  const { image, dir, signal } = options;
  const name = 'disk.raw';
  const path = join(dir, name);
  await run({ command: ['cp', '--sparse=always', image.raw, path], signal });
  return {
    dir,
    name,
    path,
    touch: async () => {
      const now = new Date();
      await utimes(path, now, now);
    },
    whileChanged: async (pattern, use) => {
      const set = image.changes[pattern];
      await applyToRaw({ set, path, signal });
      await use();
      await takeBack({ image, set, path, signal });
    },
  };
}

/** Writes the old bytes and makes the old holes again. */
async function takeBack(options: {
  readonly image: BenchImage;
  readonly set: ChangeSet;
  readonly path: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { image, set, path, signal } = options;
  await using source = await open(image.raw, 'r');
  await using target = await open(path, 'r+');
  for (const { offset, length } of intersection(set.extents, image.data)) {
    await copyRange({ source, target, from: offset, to: offset, length, signal });
  }
  const holes = intersection(set.extents, complement(image.data, image.sizeBytes));
  const input = holes.map(({ offset, length }) => `${offset} ${length}\n`).join('');
  const loop =
    'while read -r offset length; do fallocate --punch-hole --offset "$offset" --length "$length" "$1"; done';
  await run({ command: ['sh', '-e', '-c', loop, 'sh', path], input, signal });
}
