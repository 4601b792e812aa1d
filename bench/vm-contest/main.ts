/**
 * `bench/vm-peers`: what the backup of a running machine costs, beside promises (docs/performance.md, "Running machines").
 *
 *     bench/vm-peers [--only peer,size,guest,snapshot] [--rounds 3] [--json FILE] [--cache DIR] [--no-judge]
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ensureImage } from '../image/build.ts';
import { recipe } from '../image/recipe.ts';
import { type Figure, figuresTable } from '../promise/figure.ts';
import { besidePeer } from './beside-peer.ts';
import { changeNotDisk } from './change-not-disk.ts';
import { guestStall } from './guest-stall.ts';
import { snapshotStall } from './snapshot-stall.ts';

const trials = [besidePeer, changeNotDisk, guestStall, snapshotStall];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: trials.map(({ id }) => id).join(',') },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
    cache: { type: 'string', default: join(import.meta.dirname, '../../.cache/bench') },
    'no-judge': { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const chosen = values.only.split(',');
const unknown = chosen.filter((id) => !trials.some((trial) => trial.id === id));
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  console.error(`bench/vm-peers: --only takes ${trials.map(({ id }) => id).join(', ')}; --rounds 1 or more`);
  process.exit(2);
}
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));
process.once('SIGTERM', () => stop.abort(new Error('terminated')));
const { signal } = stop;

const cacheDir = resolve(values.cache);
const figures: Figure[] = [];
for (const { id, title, run } of trials.filter((trial) => chosen.includes(trial.id))) {
  console.log(title);
  const dir = join(cacheDir, `vm-${process.pid}-${id}`);
  await mkdir(dir, { recursive: true });
  const note = (line: string): void => console.log(`  ${line}`);
  const image = () => ensureImage({ recipe, cacheDir, note, signal });
  try {
    figures.push(...(await run({ dir, image, rounds, note, signal })));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
console.log(['', ...figuresTable(figures)].join('\n'));
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ rounds, figures }, undefined, 2)}\n`);
if (!values['no-judge'] && figures.some(({ verdict }) => verdict === 'MISS')) process.exitCode = 1;
