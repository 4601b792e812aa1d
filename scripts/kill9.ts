/**
 * kill -9 of the real command, again and again (docs/reliability.md): each round kills one command at a moment of its own,
 * by time or in the very milliseconds in which it changes something, then verifies everything and restores every point.
 *
 *   npm run kill9 -- [--rounds N] [--seed S] [--dir DIR] [--report FILE]
 *
 * A seed makes the same choices again; what the machine does at that moment is not in its hands. The last line, which is
 * added to FILE too, is the result as JSON. Exit code 1 at the first broken promise; then the folder is kept to look at.
 */
import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { inspect, parseArgs } from 'node:util';
import { Dice } from './kill9/dice.ts';
import { FailedRound, Rounds } from './kill9/rounds.ts';
import { emptyTally, tallyLines } from './kill9/tally.ts';

/** Commands before a failure that are shown. */
const historyLines = 25;

process.exitCode = await main();

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    console.error(`kill9: ${options}`);
    return 2;
  }
  const { rounds, seed, report } = options;
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'holdfast-kill9-')));
  await mkdir(directory, { recursive: true });
  const tally = emptyTally();
  const startedMs = performance.now();
  console.log(`seed ${seed}, ${rounds} rounds in ${directory}`);
  const failure = await new Rounds({
    rounds,
    directory,
    dice: new Dice(seed),
    tally,
    tell: (line) => console.log(line),
  })
    .run()
    .then(() => undefined)
    .catch((error: unknown) => error);
  for (const line of tallyLines(tally)) console.log(line);
  if (failure !== undefined) console.log(describeFailure(failure, seed));
  else if (options.directory === undefined) await rm(directory, { recursive: true });
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  const failed = failure instanceof Error ? failure.message : (failure ?? null);
  const result = JSON.stringify({ seed, rounds, ...tally, failed, seconds, node: process.version });
  console.log(result);
  if (report !== undefined) await appendFile(report, `${result}\n`);
  return failure === undefined ? 0 : 1;
}

type Options = {
  readonly rounds: number;
  readonly seed: number;
  readonly directory: string | undefined;
  readonly report: string | undefined;
};

function readOptions(): Options | string {
  let values: Partial<Record<'rounds' | 'seed' | 'dir' | 'report', string>>;
  try {
    const option = { type: 'string' } as const;
    ({ values } = parseArgs({ options: { rounds: option, seed: option, dir: option, report: option } }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const numbers = { rounds: Number(values.rounds ?? 200), seed: Number(values.seed ?? Math.floor(Date.now() / 1000)) };
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isSafeInteger(value) || value < 1) return `--${name} is not a number from 1 on`;
  }
  const directory = values.dir === undefined ? undefined : resolve(values.dir);
  return { ...numbers, directory, report: values.report };
}

function describeFailure(failure: unknown, seed: number): string {
  if (!(failure instanceof FailedRound)) return inspect(failure);
  const { site, cause } = failure;
  const history = site.history.slice(-historyLines);
  return [
    `BROKEN with seed ${seed}: ${inspect(cause)}`,
    `the last of ${site.history.length} commands:`,
    ...history,
    `look at ${site.directory}: repository/, copies/, disks/, restored/; passphrases: ${site.place.passphrase ?? 'none'}, ${site.target.passphrase ?? 'none'}`,
  ].join('\n');
}
