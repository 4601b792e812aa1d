/** Waiting for work without asking again and again: claims are tried when something was queued or a slot became free. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '@holdfast/database';
import { type ClaimedTask, type ClaimRequest, claimTasks } from './claim-tasks.ts';
import { workChannel, type WorkContext } from './work-context.ts';

type Waiter = { readonly queues: readonly string[]; readonly wake: () => void };

/** Hears, for all waiters of this process, that there may be work. */
export class WorkBell implements Disposable {
  readonly #waiters = new Set<Waiter>();
  #subscription: Disposable | undefined;

  static async open(database: Pick<Database, 'listen'>): Promise<WorkBell> {
    const bell = new WorkBell();
    bell.#subscription = await database.listen(workChannel, (queue) => bell.#ring(queue));
    return bell;
  }

  private constructor() {}

  /** `rung` resolves when there may be work in one of the queues that was not there when this was called. */
  expect(queues: readonly string[]): Disposable & { readonly rung: Promise<void> } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter: Waiter = { queues, wake: resolve };
    this.#waiters.add(waiter);
    return { rung: promise, [Symbol.dispose]: () => void this.#waiters.delete(waiter) };
  }

  [Symbol.dispose](): void {
    this.#subscription?.[Symbol.dispose]();
  }

  /** Without a queue, or when notifications may have been missed, everybody looks. */
  #ring(queue: string | undefined): void {
    for (const waiter of this.#waiters) {
      if (queue === undefined || queue === '' || waiter.queues.includes(queue)) waiter.wake();
    }
  }
}

export type WaitingClaim = ClaimRequest & {
  readonly bell: WorkBell;
  /** Answers with nothing after so long. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
};

/** Tasks as soon as there are any. @throws the signal's reason, with nothing claimed */
export async function claimWhenThere(context: WorkContext, request: WaitingClaim): Promise<readonly ClaimedTask[]> {
  const { bell, waitMs, signal, queues } = request;
  const late = new AbortController();
  const isLate = delay(waitMs, undefined, { signal: AbortSignal.any([signal, late.signal]) });
  let isOver = false;
  const over = isLate.then(
    () => {
      isOver = true;
    },
    () => undefined,
  );
  try {
    for (;;) {
      signal.throwIfAborted();
      // Before the claim: what is queued while it looks elsewhere rings, too.
      using expected = bell.expect(queues);
      const tasks = await claimTasks(context, request);
      if (tasks.length > 0 || isOver) return tasks;
      await Promise.race([expected.rung, over]);
    }
  } finally {
    late.abort();
  }
}
