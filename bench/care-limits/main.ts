/**
 * `bench/care`: what looking after a repository costs, beside promises (docs/performance.md, "Care of the repository").
 *
 *     bench/care [--only packs,scrub,...] [--scale 0.1] [--rounds 3] [--json FILE] [--no-judge]
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Figure, figuresTable } from '../promise/figure.ts';
import { ageing } from './ageing.ts';
import { beside } from './beside.ts';
import { manyPacks } from './many-packs.ts';
import { scrubSpeed } from './scrub-speed.ts';

const trials = [manyPacks, scrubSpeed, ageing, beside];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: trials.map(({ id }) => id).join(',') },
    scale: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '3' },
    json: { type: 'string' },
    cache: { type: 'string', default: join(import.meta.dirname, '../../.cache/bench') },
    'no-judge': { type: 'boolean', default: false },
  },
});
const scale = Number(values.scale);
const rounds = Number(values.rounds);
const chosen = values.only.split(',');
const unknown = chosen.filter((id) => !trials.some((trial) => trial.id === id));
if (unknown.length > 0 || !(scale > 0 && scale <= 1) || !Number.isInteger(rounds) || rounds < 1) {
  const ids = trials.map(({ id }) => id).join(', ');
  console.error(`bench/care: --only takes ${ids}; --scale more than 0, at most 1; --rounds 1 or more`);
  process.exit(2);
}
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));
process.once('SIGTERM', () => stop.abort(new Error('terminated')));

const figures: Figure[] = [];
for (const { id, title, run } of trials.filter((trial) => chosen.includes(trial.id))) {
  console.log(`${title}${scale === 1 ? '' : ` (scaled to ${scale})`}`);
  const dir = join(resolve(values.cache), `care-${process.pid}-${id}`);
  await mkdir(dir, { recursive: true });
  try {
    const note = (line: string): void => console.log(`  ${line}`);
    figures.push(...(await run({ dir, scale, rounds, note, signal: stop.signal })));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
console.log(['', ...figuresTable(figures)].join('\n'));
if (values.json !== undefined)
  await writeFile(values.json, `${JSON.stringify({ scale, rounds, figures }, undefined, 2)}\n`);
if (!values['no-judge'] && figures.some(({ verdict }) => verdict === 'MISS')) process.exitCode = 1;
