/**
 * The care model for as long as wanted (docs/reliability.md): random histories of writers, keepers and users on a storage
 * that fails, each made again by its seed.
 *
 *   npm run soak -- [--operations N] [--seconds T] [--seed S] [--processes P] [--report FILE]
 *
 * Seeds are worked through without gaps, from S to what the result calls `next_seed`: a later run goes on there. The last
 * line, which is added to FILE too, is the result as JSON. Exit code 1 at the first broken promise, with its seed.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { appendFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { FailedHistory, type HistoryReport, runHistory } from '../packages/engine/care-model/history-fixture.ts';
import {
  addTo,
  describeFailure,
  emptyTally,
  historyOperations,
  shrink,
  type Tally,
} from '../packages/engine/care-model/soak-fixture.ts';

const reportEveryMs = 10_000;

type Options = {
  readonly operations: number;
  readonly seconds: number;
  readonly seed: number;
  readonly processes: number;
  readonly report: string | undefined;
};

/** What a worker says of a seed. */
type Answer =
  | { readonly seed: number; readonly report: HistoryReport; readonly cpuSeconds: number }
  | { readonly seed: number; readonly failure: string };

/** A worker: one seed after the other, as they are asked for. */
function serveSeeds(): void {
  process.on('message', (seed: number) => {
    // An answer that cannot be given ends the worker, which the parent tells.
    void runSeed(seed).then((answer) => process.send!(answer));
  });
}

async function runSeed(seed: number): Promise<Answer> {
  const before = process.cpuUsage();
  try {
    const report = await runHistory({ seed, operations: historyOperations });
    const { user, system } = process.cpuUsage(before);
    return { seed, report, cpuSeconds: (user + system) / 1e6 };
  } catch (error) {
    if (!(error instanceof FailedHistory)) throw error;
    return { seed, failure: describeFailure(await shrink(error)) };
  }
}

async function main(): Promise<number> {
  const options = readOptions();
  if (typeof options === 'string') {
    console.error(`soak: ${options}`);
    return 2;
  }
  const soak = new Soak(options);
  const failure = await soak.run();
  if (failure !== undefined) console.log(failure);
  const result = JSON.stringify(soak.result());
  console.log(result);
  if (options.report !== undefined) await appendFile(options.report, `${result}\n`);
  return failure === undefined ? 0 : 1;
}

function readOptions(): Options | string {
  let values: Partial<Record<'operations' | 'seconds' | 'seed' | 'processes' | 'report', string>>;
  try {
    const option = { type: 'string' } as const;
    const known = { operations: option, seconds: option, seed: option, processes: option, report: option };
    ({ values } = parseArgs({ options: known }));
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  const { operations, seconds, seed, processes, report } = values;
  const isLimited = operations !== undefined || seconds !== undefined;
  const numbers = {
    operations: operations === undefined ? (isLimited ? Number.POSITIVE_INFINITY : 10_000) : Number(operations),
    seconds: seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds),
    seed: Number(seed ?? 1),
    processes: Number(processes ?? 1),
  };
  for (const [name, value] of Object.entries(numbers)) {
    const isUnlimited = value === Number.POSITIVE_INFINITY && (name === 'operations' || name === 'seconds');
    if (!isUnlimited && (!Number.isSafeInteger(value) || value < 1)) return `--${name} is not a number from 1 on`;
  }
  if (numbers.processes > availableParallelism()) return `there are ${availableParallelism()} cores`;
  return { ...numbers, report };
}

class Soak {
  readonly #options: Options;
  readonly #tally: Tally = emptyTally();
  readonly #startedMs = performance.now();
  #nextSeed: number;
  #cpuSeconds = 0;
  #failedSeed: number | undefined;
  #failure: string | undefined;
  #reportedMs = performance.now();

  constructor(options: Options) {
    this.#options = options;
    this.#nextSeed = options.seed;
  }

  /** What was broken, if anything. */
  async run(): Promise<string | undefined> {
    await Promise.all(Array.from({ length: this.#options.processes }, async () => await this.#drive()));
    return this.#failure;
  }

  result() {
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const { operations, byKind, ...tally } = this.#tally;
    return {
      operations,
      ...tally,
      by_kind: byKind,
      first_seed: this.#options.seed,
      next_seed: this.#nextSeed,
      failed_seed: this.#failedSeed ?? null,
      processes: this.#options.processes,
      seconds: Math.round(seconds),
      operations_per_second: Math.round(operations / seconds),
      operations_per_cpu_second: Math.round(operations / this.#cpuSeconds),
      node: process.version,
    };
  }

  /** Gives a worker seeds until it is enough. */
  async #drive(): Promise<void> {
    const worker = fork(import.meta.filename, { stdio: 'inherit' });
    try {
      while (this.#goesOn()) {
        const seed = this.#nextSeed;
        this.#nextSeed += 1;
        this.#take(await ask(worker, seed));
      }
    } finally {
      worker.kill();
    }
  }

  #goesOn(): boolean {
    const { operations, seconds } = this.#options;
    const begun = (this.#nextSeed - this.#options.seed) * historyOperations;
    return this.#failure === undefined && begun < operations && performance.now() - this.#startedMs < seconds * 1000;
  }

  #take(answer: Answer): void {
    if ('failure' in answer) {
      this.#failure = answer.failure;
      this.#failedSeed = answer.seed;
      return;
    }
    addTo(this.#tally, answer.report);
    this.#cpuSeconds += answer.cpuSeconds;
    if (performance.now() - this.#reportedMs < reportEveryMs) return;
    this.#reportedMs = performance.now();
    const { operations, operations_per_second: rate, next_seed: next } = this.result();
    console.log(`${operations} operations, ${rate} a second; seeds ${this.#options.seed} to ${next - 1}`);
  }
}

/** @throws when the worker ends without an answer */
async function ask(worker: ChildProcess, seed: number): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const onExit = (): void => reject(new Error(`The worker of seed ${seed} ended without an answer.`));
  worker.once('message', (answer) => resolve(answer as Answer));
  worker.once('exit', onExit);
  worker.send(seed);
  try {
    return await promise;
  } finally {
    worker.off('exit', onExit);
  }
}

// Last: classes are there only once their line was reached.
if (process.send) serveSeeds();
else process.exitCode = await main();
