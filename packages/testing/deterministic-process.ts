/**
 * What else a run depends on, tied to a seed: node:crypto's random numbers and the timers of node:timers/promises, for
 * every module of the process. With storage calls from a scheduler and work that is done in place (content up to 32 KiB),
 * nothing is left that differs from run to run.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timers from 'node:timers/promises';
import type { Sleep } from '@holdfast/storage';
import { seededRandom } from './storage/seeded-random.ts';

/** One run at a time; everything is as it was afterwards. */
export async function deterministically<Result>(options: {
  readonly seed: number;
  /** Waits in place of the timers. */
  readonly sleep: Sleep;
  readonly run: () => Promise<Result>;
}): Promise<Result> {
  const { randomBytes, randomFillSync, randomInt, randomUUID } = crypto;
  const { setTimeout } = timers;
  Object.assign(crypto, seededCrypto(seededRandom(options.seed)));
  Object.assign(timers, {
    setTimeout: async <Value>(ms: number, value: Value, { signal }: { signal?: AbortSignal } = {}): Promise<Value> => {
      await options.sleep({ ms, signal });
      return value;
    },
  });
  syncBuiltinESMExports();
  try {
    return await options.run();
  } finally {
    Object.assign(crypto, { randomBytes, randomFillSync, randomInt, randomUUID });
    Object.assign(timers, { setTimeout });
    syncBuiltinESMExports();
  }
}

/** The calls that answer at once; nobody here uses the others. */
function seededCrypto(random: () => number) {
  const randomFillSync = (into: Buffer): Buffer => {
    for (let at = 0; at < into.length; at += 1) into[at] = random() * 256;
    return into;
  };
  const randomBytes = (size: number): Buffer => randomFillSync(Buffer.allocUnsafe(size));
  return {
    randomBytes,
    randomFillSync,
    randomInt: (low: number, high?: number): number =>
      high === undefined ? Math.floor(random() * low) : low + Math.floor(random() * (high - low)),
    randomUUID: (): string => {
      const bytes = randomBytes(16);
      bytes[6] = (bytes[6]! & 0x0f) | 0x40;
      bytes[8] = (bytes[8]! & 0x3f) | 0x80;
      return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    },
  };
}
