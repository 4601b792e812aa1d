/** A raw image of 4 TiB with 64 MiB of data spread over it: memory must not grow with the virtual size. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB, TiB } from '@holdfast/base';
import { createKeystream } from '../image/keystream.ts';
import { backupCommand, initRepositoryByCommand } from './holdfast-command.ts';
import type { Trial } from './trial.ts';

const islands = 64;

export const sparseImage: Trial = {
  id: 'sparse',
  title: 'backup of a sparse 4 TiB image',
  prepare: async (ground) => {
    const path = join(ground.dir, 'sparse.raw');
    const sizeBytes = Math.ceil((4 * TiB * ground.scale) / MiB) * MiB;
    const keystream = createKeystream('sparse image');
    {
      await using image = await open(path, 'w');
      await image.truncate(sizeBytes);
      for (let island = 0; island < islands; island += 1) {
        const offset = keystream.below(sizeBytes / MiB) * MiB;
        await image.write(keystream.bytes(MiB), 0, MiB, offset);
      }
    }
    return backupCommand(ground, await initRepositoryByCommand(ground), path);
  },
};
