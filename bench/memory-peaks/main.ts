/** `bench/memory`: peak memory of the largest process, in situations that must stay below 512 MiB each. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { formatBytes, MiB } from '@holdfast/base';
import { timedRun } from '../process/timed-run.ts';
import { fullMap } from './full-map.ts';
import { largeIndex } from './large-index.ts';
import { sparseImage } from './sparse-image.ts';

const limitBytes = 512 * MiB;
const trials = [sparseImage, fullMap, largeIndex];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: trials.map(({ id }) => id).join(',') },
    scale: { type: 'string', default: '1' },
    json: { type: 'string' },
    cache: { type: 'string', default: join(import.meta.dirname, '../../.cache/bench') },
    'no-judge': { type: 'boolean', default: false },
  },
});
const scale = Number(values.scale);
const cacheDir = resolve(values.cache);
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));
process.once('SIGTERM', () => stop.abort(new Error('terminated')));
const { signal } = stop;

const results = [];
for (const { id, title, prepare } of trials.filter((trial) => values.only.split(',').includes(trial.id))) {
  const dir = join(cacheDir, `memory-${process.pid}-${id}`);
  await mkdir(dir, { recursive: true });
  try {
    const { usage } = await timedRun(await prepare({ dir, scale, signal }));
    const verdict = usage.peakBytes <= limitBytes ? 'PASS' : 'MISS';
    const seconds = `${(usage.wallMs / 1000).toFixed(1)} s`;
    console.log(
      `${verdict}  ${formatBytes(usage.peakBytes).padStart(10)} of ${formatBytes(limitBytes)}  ${seconds.padStart(8)}  ${title}${scale === 1 ? '' : ` (scaled to ${scale})`}`,
    );
    results.push({ id, title, scale, limitBytes, verdict, usage });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, undefined, 2)}\n`);
if (!values['no-judge'] && results.some(({ verdict }) => verdict === 'MISS')) process.exitCode = 1;
