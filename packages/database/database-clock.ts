/**
 * The clock of the database, as the one `Clock` that slots, ledger and cooldowns are decided by: servers that share a
 * database then agree, whatever their own clocks say.
 */
import type { Clock } from '@holdfast/base';
import { type Kysely, sql } from 'kysely';
import type { Schema } from './schema/schema.ts';

export interface DatabaseClock extends Clock, Disposable {
  /** Asks the database now. It is asked every 15 s anyway; between, this process counts on. */
  synchronize(): Promise<void>;
}

export type DatabaseClockOptions = {
  readonly db: Kysely<Schema>;
  /** Of this process, for what goes on between two questions. */
  readonly clock: Clock;
};

const INTERVAL_MS = 15_000;

/** Right within half a round trip, a millisecond or so. @throws database_unreachable */
export async function openDatabaseClock({ db, clock }: DatabaseClockOptions): Promise<DatabaseClock> {
  let aheadMs = 0; // of our monotonic clock
  const synchronize = async (): Promise<void> => {
    const askedMs = clock.monotonicMs();
    const { rows } = await sql<{ now_ms: number }>`
      select (extract(epoch from clock_timestamp()) * 1000)::float8 as now_ms`.execute(db);
    aheadMs = rows[0]!.now_ms - (askedMs + clock.monotonicMs()) / 2;
  };
  await synchronize();
  // While the database is away, what it said last still goes.
  const timer = setInterval(() => void synchronize().catch(() => undefined), INTERVAL_MS).unref();
  return {
    nowMs: () => Math.round(aheadMs + clock.monotonicMs()),
    monotonicMs: () => clock.monotonicMs(),
    synchronize,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
