/** `holdfast server database status|export FILE|import FILE`: care of the database, with or without its server running. */
import { stat } from 'node:fs/promises';
import { type Clock, formatBytes, HoldfastError, hasCode } from '@holdfast/base';
import {
  type Database,
  type DatabasePlace,
  exportDatabase,
  importDatabase,
  openDatabase,
  readSchemaStatus,
  runningPlace,
} from '@holdfast/database';
import type { Voice } from './say.ts';

export type DatabaseCommand = {
  /** What follows `server database`. */
  readonly words: readonly string[];
  readonly place: DatabasePlace;
  readonly voice: Voice;
  readonly clock: Clock;
  readonly signal: AbortSignal;
};

/** @throws usage, and what the database and the file fail with */
export async function runDatabaseCommand({ words, place, voice, clock, signal }: DatabaseCommand): Promise<void> {
  const [verb, file = '', ...more] = words;
  const takesFile = verb === 'export' || verb === 'import';
  if (more.length > 0 || takesFile === (file === '')) throw usage();
  switch (verb) {
    case 'status': {
      await using database = await openThere(place);
      const { step, newest } = await readSchemaStatus(database);
      const { description, serverVersion } = database;
      voice.say(
        'result',
        { database: description, server_version: serverVersion, step, newest_step: newest },
        `${description}: PostgreSQL ${serverVersion}, schema ${step} of ${newest}`,
      );
      return;
    }
    case 'export': {
      await using database = await openThere(place);
      const { rows, sizeBytes } = await exportDatabase({ db: database.db, file, clock, signal });
      voice.say('result', { file, rows, size_bytes: sizeBytes }, `${file}: ${rows} rows, ${formatBytes(sizeBytes)}`);
      return;
    }
    case 'import': {
      await using database = await openDatabase({ place });
      const { rows } = await importDatabase({ db: database.db, file, signal });
      voice.say('result', { file, rows }, `${rows} rows were imported from ${file}`);
      return;
    }
    default:
      throw usage();
  }
}

function usage(): HoldfastError {
  return new HoldfastError('usage', 'The words after "server database" are not understood.', {
    remedy: 'holdfast server database status | export FILE | import FILE.',
  });
}

/** What is there, and nothing made anew; beside its server when that runs. */
async function openThere(place: DatabasePlace): Promise<Database> {
  if (place.kind === 'external') return await openDatabase({ place });
  if (!(await stat(place.directory).then(Boolean, () => false))) {
    throw new HoldfastError('database_directory_unusable', `There is no database in ${place.directory}.`, {
      remedy: 'Name the data directory of the server with HOLDFAST_DATA_DIR, or set DATABASE_URL.',
    });
  }
  try {
    return await openDatabase({ place });
  } catch (error) {
    if (!hasCode(error, 'database_busy')) throw error;
    return await openDatabase({ place: runningPlace(place) });
  }
}
