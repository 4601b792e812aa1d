/** `bench/peers`: Holdfast beside restic, borg, qemu-img and the limit, on one image, in turn. Usage: see `usage`. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '@holdfast/base';
import { ensureImage } from '../image/build.ts';
import { cellsTouchedBytes } from '../image/extents.ts';
import { recipe } from '../image/recipe.ts';
import { type ContestOptions, parseArguments, usage } from './arguments.ts';
import { judge } from './judgement.ts';
import { describeMachine } from './machine.ts';
import { judgedTable, machineLines, measuredTable } from './report.ts';
import { WarmMemory } from '../process/warm-memory.ts';
import { competeOnce } from './stage.ts';
import { summarize } from './summary.ts';
import type { Measurement } from './works.ts';
import { createWorkingDisk } from './working-disk.ts';

/** Holdfast's default chunk size: what "dirty chunks" are counted in. */
const chunkBytes = MiB;

const parsed = parseArguments(process.argv.slice(2));
switch (parsed.kind) {
  case 'help':
    console.log(usage);
    break;
  case 'wrong':
    console.error(`bench/peers: ${parsed.reason}\n${usage}`);
    process.exitCode = 2;
    break;
  case 'compare': {
    const stop = new AbortController();
    process.once('SIGINT', () => stop.abort(new Error('interrupted')));
    process.once('SIGTERM', () => stop.abort(new Error('terminated')));
    process.exitCode = await compare(parsed.options, stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
      console.error(`bench/peers: ${String(stop.signal.reason)}`);
      return 130;
    });
    break;
  }
  default:
    parsed satisfies never;
}

async function compare(given: ContestOptions, signal: AbortSignal): Promise<number> {
  const { rounds, chosen, cacheDir } = given;
  const note = (line: string): void => console.error(line);
  const image = await ensureImage({ recipe, cacheDir, note, signal });
  const scratchDir = join(cacheDir, `scratch-${process.pid}`);
  await mkdir(scratchDir, { recursive: true });
  const measurements: Measurement[] = [];
  try {
    const machine = await describeMachine({ scratchDir, contenders: chosen, signal });
    await using memory = new WarmMemory({ dir: scratchDir });
    const disk = await createWorkingDisk({ image, dir: scratchDir, signal });
    const record = (measurement: Measurement): void => void measurements.push(measurement);
    for (let round = 0; round < rounds; round += 1) {
      // Each round begins with another contender, so that nobody always follows the same one.
      const shift = round % chosen.length;
      for (const contender of [...chosen.slice(shift), ...chosen.slice(0, shift)]) {
        await competeOnce({ contender, round, image, disk, scratchDir, memory, record, note, signal });
      }
    }
    const summaries = summarize(measurements);
    const dirtyChunkBytes = {
      scattered: cellsTouchedBytes(image.changes.scattered.extents, chunkBytes),
      runs: cellsTouchedBytes(image.changes.runs.extents, chunkBytes),
    };
    const judged = judge({ summaries, dirtyChunkBytes });
    const lines = [
      ...machineLines(machine, image),
      '',
      ...measuredTable(summaries, chosen),
      '',
      ...judgedTable(judged),
    ];
    console.log(lines.join('\n'));
    const { sizeBytes, dataBytes, packages } = image;
    const figures = {
      machine,
      image: { sizeBytes, dataBytes, dirtyChunkBytes, packages },
      rounds,
      judged,
      summaries,
      measurements,
    };
    await writeFile(given.json, `${JSON.stringify(figures, undefined, 2)}\n`);
    note(`figures: ${given.json}`);
    return given.judged && judged.some(({ verdict }) => verdict === 'MISS') ? 1 : 0;
  } finally {
    await rm(scratchDir, { recursive: true, force: true });
  }
}
