/** Faults by chance, the same for the same seed and the same sequence of calls. */
import type { Fault, FaultScript } from './fault.ts';
import { seededRandom } from './seeded-random.ts';

export type RandomFaultsOptions = {
  readonly seed: number;
  /** Share of calls that have a fault, 0 to 1. */
  readonly rate: number;
  /** Default: everything that a retry survives (unreachable, lost acknowledgement, duplicate put). */
  readonly kinds?: readonly Fault[];
};

const survivable: readonly Fault[] = [
  { kind: 'fail', code: 'storage_unreachable' },
  { kind: 'lost_ack' },
  { kind: 'duplicate_put' },
];

export function randomFaults({ seed, rate, kinds = survivable }: RandomFaultsOptions): FaultScript {
  const random = seededRandom(seed);
  return () => {
    // Both are drawn for each call, so that the faults after one do not depend on the rate.
    const happens = random() < rate;
    const kind = kinds[Math.floor(random() * kinds.length)];
    return happens ? kind : undefined;
  };
}
