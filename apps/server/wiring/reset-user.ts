/** `holdfast server --reset-password EMAIL`: works on the database alone, without serving anything. */
import type { Clock } from '@holdfast/base';
import { migrate, openDatabase, openDatabaseClock } from '@holdfast/database';
import { PasswordHasher, resetPassword } from '@holdfast/domain';
import type { Configuration } from '../configuration/read-configuration.ts';
import { placeOf } from './database-place.ts';
import type { Voice } from './say.ts';

/** @throws user_not_found, and database_busy while a server runs on the embedded database */
export async function resetUser(options: {
  readonly configuration: Configuration;
  readonly email: string;
  readonly clock: Clock;
  readonly voice: Voice;
}): Promise<void> {
  const { configuration, email, clock, voice } = options;
  await using database = await openDatabase({ place: placeOf(configuration) });
  await migrate(database);
  using databaseClock = await openDatabaseClock({ db: database.db, clock });
  const hasher = new PasswordHasher();
  const password = await resetPassword({ db: database.db, clock: databaseClock, hasher, email });
  voice.say(
    'result',
    { email, password },
    `${email} signs in with this password now, without a code:\n  ${password}\nThis is the only time that it is shown.`,
  );
}
