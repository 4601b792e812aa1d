/** Collection and presence check of a repository with many packs and points, with a cold and a warm cache of the keeper. */
import { join } from 'node:path';
import { MiB } from '@holdfast/base';
import { addUnusedPacks, writeSyntheticRepository } from './synthetic-repository.ts';
import { timedHoldfast } from '../process/holdfast.ts';
import { type Figure, figure } from '../promise/figure.ts';
import type { CareTrial } from './trial.ts';

const memoryMiB = 256;
const seconds = { cold: 60, warm: 10 } as const;

export const manyPacks: CareTrial = {
  id: 'packs',
  title: 'collect and verify --presence of 100 000 packs, 5000 points',
  run: async ({ dir, scale, note, signal }) => {
    const repository = join(dir, 'repository');
    const startedMs = performance.now();
    const made = await writeSyntheticRepository({ directory: repository, scale, signal });
    note(`${made.packs} packs and ${made.points} points in ${((performance.now() - startedMs) / 1000).toFixed(0)} s`);
    const figures: Figure[] = [];
    for (const work of ['collect', 'presence'] as const) {
      for (const state of ['cold', 'warm'] as const) {
        if (figures.length > 0 && work === 'collect') await addUnusedPacks(repository, made.unused);
        const words = work === 'collect' ? ['collect'] : ['verify', '--presence'];
        const cache = ['--cache', join(dir, `keeper-${work}`)];
        const run = { repository, words: [...words, ...cache], caches: join(dir, 'caches'), signal };
        const { usage, result } = await timedHoldfast(run);
        const done = work === 'collect' ? packsIn(result['deleted']) : pointsIn(result);
        if (done !== (work === 'collect' ? made.unused : made.points)) {
          throw new Error(`holdfast ${words.join(' ')} did something else: ${JSON.stringify(result).slice(0, 500)}`);
        }
        const wallS = usage.wallMs / 1000;
        const peakMiB = usage.peakBytes / MiB;
        const cpu = `CPU ${(usage.cpuMs / 1000).toFixed(1)} s`;
        note(`${work}, ${state} cache: ${wallS.toFixed(1)} s, ${cpu}, ${peakMiB.toFixed(0)} MiB`);
        const title = `${words.join(' ')}, ${state} cache`;
        figures.push(
          figure({ title, shown: cpu, value: wallS, limit: { atMost: seconds[state] }, unit: 's' }),
          figure({ title: `${title}, memory`, shown: '', value: peakMiB, limit: { atMost: memoryMiB }, unit: 'MiB' }),
        );
      }
    }
    return figures;
  },
};

function packsIn(sum: unknown): number {
  return (sum as { readonly packs: number }).packs;
}

/** Points that are whole. */
function pointsIn(result: Readonly<Record<string, unknown>>): number {
  return (result['points'] as readonly { readonly ok: boolean }[]).filter(({ ok }) => ok).length;
}
