/**
 * The dedup index at the size where it hurts: builds a synthetic run on a local storage, then measures opening, random
 * misses and random hits, and the memory all that takes.
 *
 *     node bench/index.ts [--entries 50000000] [--block 85] [--budget 64] [--dir DIR] [--lanes 16] [--keep]
 *
 * --block: entries a block; --budget: MiB; --keep leaves the run for the next call with the same numbers. Prints one
 * JSON line a step.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { MiB, runLanes } from '@holdfast/base';
import { LocalStore } from '@holdfast/storage';
import { openChunkIndex } from '../packages/engine/index/chunk-index.ts';
import { SessionIndex } from '../packages/engine/index/session-index.ts';
import { buildSyntheticRun, syntheticChunks } from '../packages/engine/index/synthetic-run.ts';

const { values } = parseArgs({
  options: {
    entries: { type: 'string', default: '50000000' },
    block: { type: 'string', default: '85' },
    budget: { type: 'string', default: '64' },
    lanes: { type: 'string', default: '16' },
    dir: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});
const entries = Number(values.entries);
const lanes = Number(values.lanes);
const seed = 7;
const prefix = 'd/bench/idx/';
const directory = values.dir ?? (await mkdtemp(join(tmpdir(), 'holdfast-bench-index-')));
const store = await LocalStore.open({ directory, create: true });
const key = `${prefix}000000000001-${entries.toString(16).padStart(8, '0')}${Number(values.block).toString(16).padStart(8, '0')}`;

if ((await store.head(key)) === undefined) {
  await measured('build', entries, async () => {
    await buildSyntheticRun({ store, key, entries, seed, entriesPerBlock: Number(values.block) });
  });
}

const index = await measured('open', 1, () =>
  openChunkIndex({
    store,
    prefix,
    memoryBudgetBytes: Number(values.budget) * MiB,
    onDamage: (damage) => console.log(JSON.stringify({ damage })),
  }),
);
await measured('first lookup', 1, () => index.lookup(randomBytes(32)));
await lookups('cold misses', 100_000, () => randomBytes(32), false);
await lookups('warm misses', 100_000, () => randomBytes(32), false);

const chunks = await measured('choose chunks to hit', 10_000, async () =>
  Array.from({ length: 500 }, (_, nth) => syntheticChunks({ entries, seed, shard: nth * 7 }).slice(0, 20)).flat(),
);
let next = 0;
const someChunk = () => chunks[(next += 7919) % chunks.length]!.id;
await lookups('hits', 10_000, someChunk, true);
const locations = new Map(chunks.map(({ id, location }) => [id.toString('hex'), location]));
for (const { id } of chunks.slice(0, 1000)) {
  const found = await index.lookup(id);
  const wanted = locations.get(id.toString('hex'));
  if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`wrong location of ${id.toString('hex')}`);
}
await lookups('mixed, half hits', 20_000, () => (next % 2 === 0 ? someChunk() : (next++, randomBytes(32))), undefined);

const session = new SessionIndex({ store, prefix: 'd/bench/session/', spillPrefix: 'sess-index/bench/' });
const added = 1_000_000;
await measured('session: add and look up', added, async () => {
  for (let ordinal = 0; ordinal < added; ordinal += 1) {
    const id = randomBytes(32);
    await session.lookup(id);
    session.add({ id, packOrdinal: ordinal >>> 6, slot: ordinal & 63, offset: 0, storedBytes: 1 });
    if ((ordinal & 63) === 63) session.sealPack(ordinal >>> 6, randomBytes(32).toString('hex'));
  }
});
console.log(JSON.stringify({ sessionMemoryBytes: session.memoryBytes }));
await measured('session: publish', added, () => session.publish({}));
if (!values.keep) await rm(directory, { recursive: true });

async function lookups(step: string, count: number, nextId: () => Buffer, hits: boolean | undefined): Promise<void> {
  let found = 0;
  await measured(step, count, () =>
    runLanes({
      jobs: ids(count, nextId),
      lanes,
      run: async (id) => {
        if ((await index.lookup(id)) !== undefined) found += 1;
      },
    }),
  );
  if (hits !== undefined && found !== (hits ? count : 0)) throw new Error(`${step}: ${found} of ${count} found`);
}

function* ids(count: number, nextId: () => Buffer): Generator<Buffer> {
  for (let made = 0; made < count; made += 1) yield nextId();
}

async function measured<Result>(step: string, count: number, work: () => Promise<Result>): Promise<Result> {
  const started = performance.now();
  const result = await work();
  const ms = performance.now() - started;
  const rssMiB = Math.round(process.memoryUsage().rss / MiB);
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  console.log(
    JSON.stringify({ step, ms: Number(ms.toFixed(2)), us: Number(((ms * 1000) / count).toFixed(2)), rssMiB, peakMiB }),
  );
  return result;
}
