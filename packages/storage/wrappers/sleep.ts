/** Waiting comes in as an argument, like the clock, so that tests need not wait. */
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves after `ms`; rejects with `signal.reason` as soon as the signal aborts. */
export type Sleep = (request: { readonly ms: number; readonly signal: AbortSignal | undefined }) => Promise<void>;

export const systemSleep: Sleep = async ({ ms, signal }) => {
  signal?.throwIfAborted();
  try {
    await delay(ms, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
};
