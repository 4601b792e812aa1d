/** One contender's place in one round: a folder of its own, and the care that makes measurements fair. */
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, MiB } from '@holdfast/base';
import type { BenchImage } from '../image/build.ts';
import { run } from '../process/run.ts';
import { timedRun } from '../process/timed-run.ts';
import type { WarmMemory } from '../process/warm-memory.ts';
import type { Contender, MeasuredWork, WorkingDisk } from './contender.ts';
import type { Measurement } from './works.ts';

/** Runs a contender once. Its folder is gone afterwards, whatever happened. */
export async function competeOnce(options: {
  readonly contender: Contender;
  readonly round: number;
  readonly image: BenchImage;
  readonly disk: WorkingDisk;
  readonly scratchDir: string;
  readonly memory: WarmMemory;
  readonly record: (measurement: Measurement) => void;
  readonly note: (line: string) => void;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { contender, round, image, disk, scratchDir, memory, record, note, signal } = options;
  const dir = join(scratchDir, contender.id);
  await mkdir(dir, { recursive: true });
  const measure = async (work: MeasuredWork): Promise<string> => {
    const measured = await measureOne({ work, scratchDir, memory, signal });
    record({ contender: contender.id, work: work.work, round, ...measured.figures });
    const { wallMs, cpuMs, peakBytes } = measured.figures.usage;
    const figures = `${(wallMs / 1000).toFixed(2)} s, CPU ${(cpuMs / 1000).toFixed(2)} s, ${formatBytes(peakBytes)}`;
    note(`round ${round + 1} ${contender.id} ${work.work}: ${figures}`);
    return measured.stdout;
  };
  try {
    await contender.compete({
      image,
      disk,
      dir,
      round,
      prepare: (command) => run({ ...command, signal }),
      measure,
      check: async ({ restored, expected }) => {
        const images: readonly [string, string] = [expected, restored];
        await run({ command: ['qemu-img', 'compare', '-f', 'raw', '-F', 'raw', ...images], signal });
        await rm(restored);
      },
      signal,
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function measureOne(options: {
  readonly work: MeasuredWork;
  readonly scratchDir: string;
  readonly memory: WarmMemory;
  readonly signal: AbortSignal;
}): Promise<{ readonly stdout: string; readonly figures: Omit<Measurement, 'contender' | 'work' | 'round'> }> {
  const { work, scratchDir, memory, signal } = options;
  const storedBefore = work.repository === undefined ? 0 : await sizeOf(work.repository);
  for (const path of work.warm ?? []) await readThrough(path, signal);
  await syncMs(scratchDir, signal);
  await memory.fill(signal);
  const { usage, stdout } = await timedRun({
    command: work.command,
    ...(work.cwd === undefined ? {} : { cwd: work.cwd }),
    ...(work.env === undefined ? {} : { env: work.env }),
    signal,
  });
  const thenSyncMs = await syncMs(scratchDir, signal);
  if (work.repository === undefined) return { stdout, figures: { usage, syncMs: thenSyncMs } };
  const storedBytes = await sizeOf(work.repository);
  const sourceReadBytes = work.sourceReadBytes?.(stdout);
  const figures = {
    usage,
    syncMs: thenSyncMs,
    storedBytes,
    putBytes: storedBytes - storedBefore,
    ...(sourceReadBytes === undefined ? {} : { sourceReadBytes }),
  };
  return { stdout, figures };
}

async function syncMs(dir: string, signal: AbortSignal): Promise<number> {
  const startedMs = performance.now();
  await run({ command: ['sync', '--file-system', dir], signal });
  return performance.now() - startedMs;
}

/** Reads a file, or all of a folder, so that it is in the page cache, as far as memory allows. */
async function readThrough(path: string, signal: AbortSignal): Promise<void> {
  if ((await stat(path)).isDirectory()) {
    for (const entry of await readdir(path)) await readThrough(join(path, entry), signal);
    return;
  }
  const buffer = Buffer.allocUnsafe(8 * MiB);
  await using file = await open(path, 'r');
  while ((await file.read(buffer, 0, buffer.length)).bytesRead > 0) signal.throwIfAborted();
}

/** Sum of the sizes of all files below; 0 when there is nothing. */
async function sizeOf(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return 0;
  if (!found.isDirectory()) return found.size;
  let sum = 0;
  for (const entry of await readdir(path)) sum += await sizeOf(join(path, entry));
  return sum;
}
