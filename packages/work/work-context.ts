/** What all of this package works with. */
import type { Clock } from '@holdfast/base';
import type { OperationTable, Schema } from '@holdfast/database';
import type { Kysely, Selectable, Transaction } from 'kysely';
import type { OperationState } from './operation-state.ts';

export type OperationRow = Selectable<OperationTable>;

export type OperationChange = {
  /** As it is now. */
  readonly operation: OperationRow;
  /** Undefined when it was just admitted. */
  readonly from: OperationState | undefined;
};

export type WorkContext = {
  readonly db: Kysely<Schema>;
  /** Of the database. */
  readonly clock: Clock;
  /**
   * Called in the transaction of each change of state, so that what follows from it (a snapshot becomes available, an event
   * is published) happens with it or not at all. What it throws undoes the change.
   */
  readonly onChange?: (transaction: Transaction<Schema>, change: OperationChange) => Promise<void>;
};

/** Wakes who waits for work; the payload is a queue, or empty when anybody may have some. */
export const workChannel = 'work';
