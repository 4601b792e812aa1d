/** Units of work that happen whole or not at all. */
import type { Kysely, Transaction } from 'kysely';
import { setTimeout as delay } from 'node:timers/promises';
import { sqlState } from './connection/database-errors.ts';
import type { Schema } from './schema/schema.ts';

export type TransactionOptions = {
  readonly db: Kysely<Schema>;
  /** PostgreSQL's own is read committed: each statement sees what was committed before it. */
  readonly isolation?: 'repeatable read' | 'serializable';
  readonly signal?: AbortSignal | undefined;
};

/** Serialization failure, deadlock: of two transactions one has to begin again. */
const AGAIN = new Set(['40001', '40P01']);
const ATTEMPTS = 8;
const LONGEST_WAIT_MS = 200;

/**
 * Runs `work` in a transaction and commits; what it throws rolls back. Where PostgreSQL asks for another attempt, `work` is
 * called again, so it must do nothing but SQL.
 * @throws what `work` throws; database_unreachable also when it is not known whether the commit arrived
 */
export async function inTransaction<Result>(
  { db, isolation, signal }: TransactionOptions,
  work: (transaction: Transaction<Schema>) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt += 1) {
    signal?.throwIfAborted();
    try {
      const builder = db.transaction();
      return await (isolation === undefined ? builder : builder.setIsolationLevel(isolation)).execute(work);
    } catch (error) {
      if (attempt === ATTEMPTS || !AGAIN.has(sqlState(error) ?? '')) throw error;
      await delay(Math.random() * Math.min(LONGEST_WAIT_MS, 5 * 2 ** attempt));
    }
  }
}
