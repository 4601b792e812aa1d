/**
 * Storage calls of many simulated processes, one at a time in an order by chance: each call waits until the scheduler picks
 * it, so whatever can happen between two calls of a process happens in some run, and a run is repeated by its seed. A
 * process that is suspended is not picked for a while; one that was killed never again, and what it had under way may still
 * land, or not.
 *
 * Everything that the processes do between their calls must end without timers and threads (deterministic-process.ts).
 */
import type { StorageVerb } from '@holdfast/storage';
import type { Fault } from './fault.ts';
import { ScheduledProcess } from './scheduled-process.ts';

/** `slow`: others go on before the answer comes. `late_put`: as in a faulty store, and deletes too. */
export type ScheduledFault = Exclude<Fault, { readonly kind: 'crash' }>;

export type ScheduledCall = {
  readonly process: ScheduledProcess;
  /** `answer`: of a slow call; `landing`: of one that was late. */
  readonly verb: StorageVerb | 'answer' | 'landing';
  readonly key: string;
  readonly fault: ScheduledFault | undefined;
};

export type SchedulerOptions = {
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly faults?: ((call: Omit<ScheduledCall, 'fault'>) => ScheduledFault | undefined) | undefined;
  /** Share of listings that come in pages, each as the storage is then. */
  readonly pagedShare?: number;
  /** Keys of which no put lands any more once they were deleted. */
  readonly staysDeleted?: ((key: string) => boolean) | undefined;
  /** Told of every call as it takes effect. */
  readonly onCall?: ((call: ScheduledCall) => void) | undefined;
};

/** A call that waits to be picked. */
export type WaitingCall = Omit<ScheduledCall, 'fault'> & {
  readonly resume: (fault: ScheduledFault | undefined) => void;
  /** What the storage still does when the process is killed now. */
  readonly effect: (() => Promise<void>) | undefined;
};

type Landing = Omit<ScheduledCall, 'fault' | 'verb'> & {
  readonly dueAtStep: number;
  readonly land: () => Promise<void>;
};

export class Scheduler {
  readonly #options: SchedulerOptions;
  #waiting: WaitingCall[] = [];
  #landings: Landing[] = [];
  readonly #deleted = new Set<string>();
  #steps = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Picks so far, which is the time that suspensions and late landings go by. */
  get steps(): number {
    return this.#steps;
  }

  /** Calls that wait, those of suspended processes too. */
  get waitingCalls(): number {
    return this.#waiting.length;
  }

  get random(): () => number {
    return this.#options.random;
  }

  newProcess(name: string): ScheduledProcess {
    return new ScheduledProcess(this, name);
  }

  /** Lets one call take effect and goes on until every process waits again. False when there was none to pick. */
  async step(): Promise<boolean> {
    this.#steps += 1;
    await this.#landDue(this.#steps);
    const ready = this.#waiting.filter(({ process }) => process.suspendedUntilStep <= this.#steps);
    const picked = ready[Math.floor(this.random() * ready.length)];
    if (!picked) return false;
    this.#waiting.splice(this.#waiting.indexOf(picked), 1);
    const { process, verb, key } = picked;
    const fault = verb === 'answer' ? undefined : this.#options.faults?.({ process, verb, key });
    if (fault) process.faults += 1;
    if (verb === 'delete' && fault?.kind !== 'fail') this.#deleted.add(key);
    this.#options.onCall?.({ process, verb, key, fault });
    picked.resume(fault);
    await quiet();
    return true;
  }

  /** Everything late lands now. */
  async landAll(): Promise<void> {
    await this.#landDue(Number.POSITIVE_INFINITY);
  }

  /** For processes. */
  wait(call: WaitingCall): void {
    this.#waiting.push(call);
  }

  /** For processes: takes effect after so many more steps. */
  landLater(process: ScheduledProcess, landing: { key: string; afterSteps: number; land: () => Promise<void> }): void {
    const { key, afterSteps, land } = landing;
    process.landings += 1;
    this.#landings.push({ process, key, land, dueAtStep: this.#steps + afterSteps });
  }

  /** For processes: whether a put of this key may still land. */
  mayLand(key: string): boolean {
    return !(this.#deleted.has(key) && (this.#options.staysDeleted?.(key) ?? false));
  }

  isPaged(): boolean {
    return this.random() < (this.#options.pagedShare ?? 0);
  }

  /** For processes that die: their calls are answered by nobody. */
  takeCallsOf(process: ScheduledProcess): readonly WaitingCall[] {
    const taken = this.#waiting.filter((call) => call.process === process);
    this.#waiting = this.#waiting.filter((call) => call.process !== process);
    return taken;
  }

  async #landDue(step: number): Promise<void> {
    const due = this.#landings.filter(({ dueAtStep }) => dueAtStep <= step);
    if (due.length === 0) return;
    this.#landings = this.#landings.filter((landing) => !due.includes(landing));
    for (const { process, key, land } of due) {
      process.landings -= 1;
      this.#options.onCall?.({ process, verb: 'landing', key, fault: undefined });
      await land();
    }
  }
}

/** Every promise has gone on as far as it can. */
function quiet(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
