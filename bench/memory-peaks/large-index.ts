/** A normal backup (1 GiB, all of it new) into a repository whose dedup index holds 50 million entries. */
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB, MiB } from '@holdfast/base';
import { LocalStore } from '@holdfast/storage';
import { buildSyntheticRun } from '../../packages/engine/index/synthetic-run.ts';
import { indexPrefix } from '../../packages/engine/repository/layout.ts';
import { defaultDomain } from '../../packages/engine/repository/repository.ts';
import { createKeystream } from '../image/keystream.ts';
import { backupCommand, initRepositoryByCommand } from './holdfast-command.ts';
import type { Trial } from './trial.ts';

export const largeIndex: Trial = {
  id: 'index',
  title: 'backup of 1 GiB behind an index of 50 million entries',
  prepare: async (ground) => {
    const repository = await initRepositoryByCommand(ground);
    await using store = await LocalStore.open({ directory: repository });
    const key = `${indexPrefix(defaultDomain)}000000000001-0000000000000001`;
    const entries = Math.round(50_000_000 * ground.scale);
    await buildSyntheticRun({ store, key, entries, seed: 7, signal: ground.signal });
    const path = join(ground.dir, 'random.raw');
    const keystream = createKeystream('large index');
    {
      await using image = await open(path, 'w');
      for (let offset = 0; offset < GiB; offset += MiB) await image.write(keystream.bytes(MiB), 0, MiB, offset);
    }
    return backupCommand(ground, repository, path);
  },
};
