import { readdir } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';

/**
 * Where a guest wants all of a processor we get 3 % of it, and all of it where none does. Not 19, the last step: a backup that
 * hardly moves fills scratch space. Measured beside a guest that writes all the time, 10 and 19 gave p99 gaps of 3.0 and
 * 2.6 times those without a backup, in the same time.
 */
const NICE = 15;

/**
 * From now on this program steps back where guests want the processor. All its threads: the kernel keeps a priority for each of
 * them, and new ones take that of their maker. For good, because only root could take it back.
 */
export async function yieldToGuests(): Promise<void> {
  for (const name of await readdir('/proc/self/task')) {
    const thread = Number(name);
    try {
      if (getPriority(thread) < NICE) setPriority(thread, NICE);
    } catch {
      // It has ended meanwhile.
    }
  }
}
