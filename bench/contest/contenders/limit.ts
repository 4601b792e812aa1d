/** The limit: what compressing the same data costs on two threads, and nothing else. */
import { join } from 'node:path';
import type { Contender } from '../contender.ts';

export const limit: Contender = {
  id: 'limit',
  title: 'limit (zstd -1 -T2)',
  program: ['zstd', '--version'],
  compete: async ({ image, dir, measure }) => {
    const output = join(dir, 'data.zst');
    const command = ['zstd', '-1', '-T2', '--quiet', image.dataOnly, '-o', output] as const;
    await measure({ work: 'full', command, warm: [image.dataOnly], repository: output });
  },
};
