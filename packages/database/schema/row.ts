/** What every row of an entity has. Times come from the clock of the database (database-clock.ts), never from SQL. */
import type { Generated } from 'kysely';

export type EntityRow = {
  /** UUIDv7 with the prefix of its table. */
  readonly id: string;
  readonly created_at: Date;
  readonly updated_at: Date;
  /** 1 when made, one more at each change: the ETag. */
  readonly version: Generated<number>;
};
