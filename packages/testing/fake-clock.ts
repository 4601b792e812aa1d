/** A clock that goes only when told, and the sleep that belongs to it. */
import type { Clock } from '@holdfast/base';
import type { Sleep } from '@holdfast/storage';

export type FakeClock = Clock & {
  readonly sleep: Sleep;
  /** Moves time on, waking sleepers in the order in which they are due; each may go to sleep again on the way. */
  advance(ms: number): Promise<void>;
  readonly sleepers: number;
};

type Sleeper = { readonly dueMs: number; readonly wake: () => void };

export function fakeClock(startMs = Date.UTC(2030, 0, 1)): FakeClock {
  let elapsedMs = 0;
  const sleepers: Sleeper[] = [];
  const nextDue = (untilMs: number): Sleeper | undefined =>
    sleepers.filter(({ dueMs }) => dueMs <= untilMs).sort((left, right) => left.dueMs - right.dueMs)[0];
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    get sleepers() {
      return sleepers.length;
    },
    sleep: async ({ ms, signal }) => {
      signal?.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const sleeper = { dueMs: elapsedMs + ms, wake: resolve };
      const onAbort = (): void => reject(signal?.reason);
      sleepers.push(sleeper);
      signal?.addEventListener('abort', onAbort, { once: true });
      try {
        await promise;
      } finally {
        signal?.removeEventListener('abort', onAbort);
        sleepers.splice(sleepers.indexOf(sleeper), 1);
      }
    },
    advance: async (ms) => {
      const untilMs = elapsedMs + ms;
      await settled();
      for (let due = nextDue(untilMs); due !== undefined; due = nextDue(untilMs)) {
        elapsedMs = Math.max(elapsedMs, due.dueMs);
        due.wake();
        await settled();
      }
      elapsedMs = untilMs;
      await settled();
    },
  };
}

/** Lets every promise go on that can. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
