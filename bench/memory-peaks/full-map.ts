/** A disk of 1 TiB without a hole and without two equal chunks: the map and the index of a session at their largest. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { GiB } from '@holdfast/base';
import type { Trial } from './trial.ts';

export const fullMap: Trial = {
  id: 'map',
  title: 'backup of a full 1 TiB disk, then an increment',
  prepare: ({ dir, scale, signal }) => {
    const sizeGiB = Math.max(1, Math.round(1024 * scale));
    const script = join(import.meta.dirname, 'full-map-process.ts');
    return Promise.resolve({
      command: [process.execPath, script, join(dir, 'repository'), String(sizeGiB * GiB)],
      // As bin/holdfast sets it.
      env: { UV_THREADPOOL_SIZE: String(Math.max(4, availableParallelism() + 2)) },
      signal,
    });
  },
};
