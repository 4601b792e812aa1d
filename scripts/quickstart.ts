/**
 * `./quickstart`: the stories of a disk (scripts/quickstart/story.ts) and of a running machine (machine-story.ts) as a table. State is in .quickstart/ (or --dir), removed at
 * the start; with --once it is removed at the end too, whatever happened.
 */
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { tellMachineStory } from './quickstart/machine-story.ts';
import type { Step } from './quickstart/step.ts';
import { type Story, tellStory } from './quickstart/story.ts';

const usage = `./quickstart [--once] [--dir DIR]
  --once     remove everything at the end (default: leave the repository for you to try)
  --dir DIR  work in DIR instead of .quickstart; made anew, so it must be absent, empty or left by an earlier run`;

/** Only a folder that holds this file is ever removed. */
const mark = '.holdfast-quickstart';

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'number') return options;
  const root = resolve(import.meta.dirname, '..');
  const folder = resolve(options.dir ?? join(root, '.quickstart'));
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort(new Error(name)));

  try {
    await clear(folder);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, mark), '');
    const startedMs = performance.now();
    const shared = { root, folder, tell: printStep, signal: stop.signal };
    const story = await tellStory(shared);
    printStep({ title: 'a disk, in all', seconds: secondsSince(startedMs), note: 'both points proved right' });
    if (process.getuid?.() === 0) await tellMachineStory({ ...shared, storage: story.storage });
    else console.log('A running machine would follow: run as root, for a libvirt of its own.');
    printStep({ title: 'in all', seconds: secondsSince(startedMs), note: 'every point proved right' });
    if (!options.once) printWhereToGoOn(root, folder, story);
    return 0;
  } catch (error) {
    if (stop.signal.aborted) {
      console.error('quickstart: interrupted');
      return 130;
    }
    console.error(`quickstart: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  } finally {
    if (options.once && existsSync(join(folder, mark))) await clear(folder);
  }
}

async function clear(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  const names = await readdir(folder);
  if (names.length > 0 && !names.includes(mark)) throw new Error(`${folder} holds other things; choose another --dir`);
  await rm(folder, { recursive: true });
}

function readOptions(): { once: boolean; dir: string | undefined } | number {
  try {
    const { values } = parseArgs({
      options: { once: { type: 'boolean', default: false }, dir: { type: 'string' }, help: { type: 'boolean' } },
    });
    if (!values.help) return { once: values.once, dir: values.dir };
    console.log(usage);
    return 0;
  } catch (error) {
    console.error(`quickstart: ${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
}

function secondsSince(startedMs: number): number {
  return (performance.now() - startedMs) / 1000;
}

function printStep({ title, seconds, note }: Step): void {
  const time = seconds === undefined ? ''.padStart(10) : `${seconds.toFixed(2).padStart(8)} s`;
  console.log(`${title.padEnd(42)}${time}   ${note}`.trimEnd());
}

function printWhereToGoOn(root: string, folder: string, { storage, disk, points }: Story): void {
  const command = relative(process.cwd(), join(root, 'bin/holdfast')) || 'bin/holdfast';
  console.log(`
The repository stays in ${folder}. To go on:
  ${command} points  --storage ${storage}
  ${command} backup  --storage ${storage} --resource volumes/demo --parent ${points[1]} ${disk}
  ${command} restore --storage ${storage} ${points[0]} --to restored.qcow2 --format qcow2
  ${command} serve   --storage ${storage} ${points[1]} --disk vda --socket point.sock
  ${command} verify  --storage ${storage}
docs/user-guide.md tells the rest. Remove it with: rm -r ${folder}`);
}
