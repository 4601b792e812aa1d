/** The faults that a storage can be told to have, and the crash that ends a simulated process. */
import type { StorageVerb } from '@holdfast/storage';

/**
 * The process died here. No HoldfastError, so that no code under test takes it for a failure of the storage. Every call
 * of the same faulty store throws it from then on: what a dead process does in its `catch` and `finally` has no effect.
 */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

/** The errors that a real driver reports about its storage. */
export type StorageFailure = 'storage_full' | 'storage_denied' | 'storage_unreachable';

export type Fault =
  /**
   * `before` the effect, `after` it (the acknowledgement is lost with the process), or `partial`: a put dies with half
   * its content sent, a listing after its first object; other verbs as `before`.
   */
  | { readonly kind: 'crash'; readonly when: 'before' | 'after' | 'partial' }
  /** Fails without effect. */
  | { readonly kind: 'fail'; readonly code: StorageFailure }
  /** Takes effect, then fails with storage_unreachable. */
  | { readonly kind: 'lost_ack' }
  /** The network delivers a put twice; the second outcome is nobody's. Other verbs are untouched. */
  | { readonly kind: 'duplicate_put' }
  /** A put fails with storage_unreachable, yet lands after so many more calls. Other verbs fail. */
  | { readonly kind: 'late_put'; readonly afterCalls: number }
  | { readonly kind: 'slow'; readonly ms: number }
  /** A listing shows the storage as it was so many calls ago. Other verbs are untouched. */
  | { readonly kind: 'stale_list'; readonly byCalls: number };

/** Decides about each call; undefined is no fault. `call` counts from 1. */
export type FaultScript = (request: {
  readonly call: number;
  readonly verb: StorageVerb;
  readonly key: string;
}) => Fault | undefined;

/** Faults at given call numbers. */
export function faultsAt(faults: Readonly<Record<number, Fault>>): FaultScript {
  return ({ call }) => faults[call];
}

/** The crash run's script: dies at this call. */
export function crashAt(call: number, when: 'before' | 'after' | 'partial'): FaultScript {
  return faultsAt({ [call]: { kind: 'crash', when } });
}
