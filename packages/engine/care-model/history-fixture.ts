/**
 * One history of the care model: writers, keepers and users do random things at once on one storage that fails, they are
 * suspended and killed, and whatever they were promised holds. The seed decides everything.
 */
import { deterministically } from '@holdfast/testing';
import { checkEnd, checkPoints } from './checks-fixture.ts';
import { judgeFailure, kill, kinds, rot } from './operations-fixture.ts';
import { BrokenPromise, type PointRecord } from './oracle-fixture.ts';
import { World } from './world-fixture.ts';

export type HistoryOptions = {
  readonly seed: number;
  readonly operations: number;
};

export type HistoryReport = {
  readonly operations: Readonly<Record<string, number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly calls: number;
};

/** A history in which a promise was broken. */
export class FailedHistory extends Error {
  override readonly name = 'FailedHistory';
  readonly seed: number;
  readonly operations: number;
  readonly trace: readonly string[];

  constructor(options: HistoryOptions & { readonly trace: readonly string[]; readonly cause: unknown }) {
    const { seed, operations, trace, cause } = options;
    const because = cause instanceof Error ? `${cause.message}${reasonOf(cause)}` : String(cause);
    super(`Seed ${seed}, ${operations} operations: ${because}`, { cause });
    this.seed = seed;
    this.operations = operations;
    this.trace = trace;
  }
}

function reasonOf({ cause }: Error): string {
  return cause instanceof Error ? ` (${cause.message})` : '';
}

const weights = {
  disk: 18,
  clock: 5,
  check: 6,
  stop: 4,
  kill: 4,
  squeeze: 3,
  backup: 20,
  delete: 10,
  undelete: 4,
  restore: 8,
  copy: 1,
  collect: 11,
  fence: 3,
  compact: 5,
  verify: 3,
  heal: 3,
} as const;
type Choice = keyof typeof weights;

/** Shares of calls with a fault; by seed, as is whether packs rot. */
const faultRates = [0, 0.003, 0.01, 0.04] as const;
/** Of choices that begin with a new operation instead of a step of those that run. */
const beginShare = 1 / 12;
const clockStepsMs = [1000, 20_000, 3_600_000, 26 * 3_600_000] as const;
/** Long enough for some collections. */
const squeezeSteps = [300, 1000] as const;
/** Clock steps of a history stay below the 30 days of a purging record. */
const longestHistoryMs = 25 * 24 * 3_600_000;
const stepsToEnd = 50_000;

/** @throws FailedHistory */
export async function runHistory(options: HistoryOptions): Promise<HistoryReport> {
  const { seed } = options;
  let world: World | undefined;
  let clock: World['clock'] | undefined;
  try {
    return await deterministically({
      seed,
      sleep: async (request) => await clock!.sleep(request),
      run: async () => {
        world = await World.make({ seed, faultRate: faultRates[seed % faultRates.length]! });
        clock = world.clock;
        await new History(world, options).run();
        const { operations, faults, outcomes, scheduler } = world;
        return { operations, faults, outcomes, calls: scheduler.steps };
      },
    });
  } catch (cause) {
    throw new FailedHistory({ ...options, trace: world?.trace ?? [], cause });
  }
}

class History {
  readonly #world: World;
  readonly #options: HistoryOptions;
  readonly #isRotting: boolean;
  #begun = 0;
  #broken: { readonly cause: unknown } | undefined;

  constructor(world: World, options: HistoryOptions) {
    this.#world = world;
    this.#options = options;
    this.#isRotting = options.seed % 5 === 4;
  }

  async run(): Promise<void> {
    const { scheduler } = this.#world;
    while (this.#begun < this.#options.operations) {
      const isIdle = scheduler.waitingCalls === 0;
      if (isIdle || this.#world.chance(beginShare)) await this.#begin();
      if (!(await scheduler.step())) await this.#pass();
      this.#assertUnbroken();
    }
    await this.#finish();
    await checkEnd(this.#world);
  }

  /** Nobody can be picked: suspended ones wake up in time, sleepers with the clock. */
  async #pass(): Promise<void> {
    const { clock } = this.#world;
    if (clock.sleepers > 0) await clock.advance(500);
  }

  async #begin(): Promise<void> {
    const world = this.#world;
    const choice = this.#choose();
    switch (choice) {
      case 'disk':
        world.writeDisk();
        break;
      case 'clock': {
        const ms = world.pick(clockStepsMs);
        if (world.clock.monotonicMs() + ms < longestHistoryMs) await world.clock.advance(ms);
        world.say(`      clock + ${ms / 1000} s`);
        break;
      }
      case 'check':
        if (this.#isRotting && world.chance(0.3)) await rot(world);
        await checkPoints(world);
        break;
      case 'stop':
      case 'kill': {
        if (world.busy.length === 0) return;
        const { process, operation } = world.pick(world.busy);
        if (choice === 'kill') await kill(world, operation!);
        else {
          process.suspend(world.pick([20, 100, 500]));
          world.say(`   #${operation!.number} is suspended`);
        }
        break;
      }
      case 'squeeze':
        if (!this.#squeeze()) return;
        break;
      default:
        if (!this.#launch(choice)) return;
    }
    this.#begun += 1;
    world.count(choice);
  }

  /**
   * Somebody hangs while the point that he reads or builds on is deleted, long enough for it to be purged and collected:
   * what chance alone brings together once in many thousand operations. False when nobody is at such work.
   */
  #squeeze(): boolean {
    const world = this.#world;
    const users = world.busy.filter(({ operation }) => operation?.about && operation.kind !== 'delete');
    if (users.length === 0) return false;
    const { process, operation } = world.pick(users);
    if (!this.#launch('delete', operation!.about)) return false;
    process.suspend(world.pick(squeezeSteps));
    world.say(`   #${operation!.number} is suspended, and its point is deleted`);
    return true;
  }

  /** False when everybody who could do it is busy. */
  #launch(kind: keyof typeof kinds, about?: PointRecord): boolean {
    const world = this.#world;
    const { role, run } = kinds[kind];
    const actor = world.idle(role);
    if (!actor) return false;
    const operation = world.begin(actor, kind);
    operation.about = about;
    world.say(`#${operation.number} ${kind} by ${actor.name}`);
    const end = (): void => {
      operation.isDone = true;
      actor.operation = undefined;
    };
    run(world, operation)
      .catch((error: unknown) => judgeFailure(world, operation, error))
      .then(end, (cause: unknown) => {
        this.#broken ??= { cause };
        end();
      });
    return true;
  }

  #choose(): Choice {
    const sum = Object.values(weights).reduce((total, weight) => total + weight, 0);
    let at = this.#world.random() * sum;
    for (const [choice, weight] of Object.entries(weights) as [Choice, number][]) {
      at -= weight;
      if (at < 0) return choice;
    }
    return 'check';
  }

  /** Everybody comes to an end, and what is late lands. */
  async #finish(): Promise<void> {
    const world = this.#world;
    const { scheduler, actors } = world;
    world.endFaults();
    world.say('      the end: no more faults');
    for (const { process } of actors) process.suspendedUntilStep = 0;
    for (let step = 0; world.busy.length > 0; step += 1) {
      if (!(await scheduler.step())) await this.#pass();
      this.#assertUnbroken();
      if (step < stepsToEnd) continue;
      const kindsLeft = world.busy.map(({ operation }) => `${operation?.kind} #${operation?.number}`);
      throw new BrokenPromise(`${kindsLeft.join(', ')} do not come to an end.`);
    }
    await scheduler.landAll();
  }

  #assertUnbroken(): void {
    if (this.#broken) throw this.#broken.cause;
  }
}
