import { setTimeout as sleep } from 'node:timers/promises';

/** Waits between two questions. Rejects with the signal's reason. */
export async function pause(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(durationMs, undefined, { signal }).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw error;
  });
}
