/** What the API works with, wired by the program. */
import type { Clock } from '@holdfast/base';
import type { Database } from '@holdfast/database';
import type { PasswordHasher, Seal } from '@holdfast/domain';

export type Services = {
  readonly database: Pick<Database, 'db' | 'listen'>;
  /** The database's: servers that share it agree. */
  readonly clock: Clock;
  readonly hasher: PasswordHasher;
  readonly seal: Seal;
  /** Of the program. */
  readonly version: string;
};
