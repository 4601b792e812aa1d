/** A scrub against reading the same packs and decompressing their frames on all cores. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { formatBytes, GiB, MiB } from '@holdfast/base';
import { backup, initRepository, openRepository } from '@holdfast/engine';
import { LocalStore } from '@holdfast/storage';
import { spreadOf } from '../contest/summary.ts';
import { run } from '../process/run.ts';
import { timedRun } from '../process/timed-run.ts';
import { timedHoldfast } from '../process/holdfast.ts';
import { MixedDisk } from './mixed-disk.ts';
import { figure } from '../promise/figure.ts';
import type { CareTrial } from './trial.ts';

/** Stores about 2 GiB. */
const diskBytes = 3.6 * GiB;

export const scrubSpeed: CareTrial = {
  id: 'scrub',
  title: 'verify, all of it, against reading and decompressing the same packs',
  run: async ({ dir, scale, rounds, note, signal }) => {
    const repository = join(dir, 'repository');
    const sizeBytes = Math.ceil((diskBytes * scale) / MiB) * MiB;
    await makePoint({ directory: repository, sizeBytes });
    const unpack = join(import.meta.dirname, 'unpack-process.ts');
    const times = { scrub: [] as number[], limit: [] as number[] };
    let peakBytes = 0;
    for (let round = 0; round < rounds; round += 1) {
      for (const who of round % 2 === 0 ? (['limit', 'scrub'] as const) : (['scrub', 'limit'] as const)) {
        await readThrough(repository, signal);
        if (who === 'limit') {
          const env = { UV_THREADPOOL_SIZE: String(availableParallelism() + 10) };
          const { usage } = await timedRun({ command: [process.execPath, unpack, repository], env, signal });
          times.limit.push(usage.wallMs);
          note(`round ${round + 1} reading and decompressing: ${figures(usage)}`);
        } else {
          const scrub = { repository, words: ['verify'], caches: join(dir, 'caches'), signal };
          const { usage, result } = await timedHoldfast(scrub);
          times.scrub.push(usage.wallMs);
          peakBytes = Math.max(peakBytes, usage.peakBytes);
          note(`round ${round + 1} scrub of ${formatBytes(Number(result['checked_bytes']))}: ${figures(usage)}`);
        }
      }
    }
    const [limitMs, scrubMs] = [spreadOf(times.limit).median, spreadOf(times.scrub).median];
    const shown = `${(limitMs / 1000).toFixed(2)} s / ${(scrubMs / 1000).toFixed(2)} s`;
    const memory = {
      title: 'verify, memory',
      shown: '',
      value: peakBytes / MiB,
      limit: { atMost: 512 },
      unit: 'MiB',
    } as const;
    return [
      figure({
        title: 'verify / reading and decompressing, speed',
        shown,
        value: limitMs / scrubMs,
        limit: { atLeast: 0.8 },
        unit: 'x',
      }),
      figure(memory),
    ];
  },
};

async function makePoint(request: { readonly directory: string; readonly sizeBytes: number }): Promise<void> {
  const { directory, sizeBytes } = request;
  await using store = await LocalStore.open({ directory, create: true });
  await initRepository({ store });
  await using source = new MixedDisk({ label: 'scrub', sizeBytes }).source();
  await backup({
    repository: await openRepository({ store }),
    resource: 'volumes/bench',
    disks: [{ name: 'vda', source }],
  });
}

/** Both read from the page cache, as far as memory allows. */
async function readThrough(repository: string, signal: AbortSignal): Promise<void> {
  await run({ command: ['sh', '-c', 'find "$1" -type f -exec cat {} + | tail -c 0', 'sh', repository], signal });
}

function figures(usage: { readonly wallMs: number; readonly cpuMs: number; readonly peakBytes: number }): string {
  return `${(usage.wallMs / 1000).toFixed(2)} s, CPU ${(usage.cpuMs / 1000).toFixed(2)} s, ${formatBytes(usage.peakBytes)}`;
}
