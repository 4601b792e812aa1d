/** One run of `holdfast server`, given its words. Answers the exit code. */
import { parseArgs } from 'node:util';
import { HoldfastError, systemClock } from '@holdfast/base';
import { pino } from 'pino';
import { type Environment, readConfiguration } from './configuration/read-configuration.ts';
import { type Setting, settings } from './configuration/settings.ts';
import { runDatabaseCommand } from './wiring/database-command.ts';
import { placeOf } from './wiring/database-place.ts';
import { resetUser } from './wiring/reset-user.ts';
import { runServer } from './wiring/run-server.ts';
import { createVoice, type Streams } from './wiring/say.ts';

export type ProgramOptions = Streams & {
  readonly words: readonly string[];
  readonly environment: Environment;
  readonly isRoot: boolean;
  readonly version: string;
  /** Aborted by SIGINT, SIGTERM and SIGHUP: that is how a server ends well. */
  readonly signal: AbortSignal;
};

export async function runProgram(options: ProgramOptions): Promise<number> {
  const { words, environment, isRoot, version, signal, stderr } = options;
  const voice = createVoice({ ...options, isJson: words.includes('--json') });
  try {
    const { help, config, resetEmail, databaseWords } = parseWords(words);
    if (help) {
      voice.say('result', { help: helpText() }, helpText());
      return 0;
    }
    const configuration = await readConfiguration({ environment, file: config, isRoot });
    if (databaseWords !== undefined) {
      const place = placeOf(configuration);
      await runDatabaseCommand({ words: databaseWords, place, voice, clock: systemClock, signal });
      return 0;
    }
    if (resetEmail !== undefined) {
      await resetUser({ configuration, email: resetEmail, clock: systemClock, voice });
      return 0;
    }
    // Written at once: what is said last, when a server dies, is what one wants to know.
    const log = pino({ level: configuration.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stderr);
    await runServer({ configuration, version, voice, log, clock: systemClock, signal });
    voice.say('result', { stopped: true }, '');
    return 0;
  } catch (error) {
    voice.problem(error);
    return error instanceof HoldfastError ? error.exitCode : 1;
  }
}

/** @throws usage */
function parseWords(words: readonly string[]): {
  readonly help: boolean;
  readonly config: string | undefined;
  /** In lower case. */
  readonly resetEmail: string | undefined;
  /** What follows `database`. */
  readonly databaseWords: readonly string[] | undefined;
} {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options: {
        config: { type: 'string' },
        'reset-password': { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
      strict: true,
      allowPositionals: true,
    });
    const [noun, ...databaseWords] = positionals;
    if (noun !== undefined && noun !== 'database') throw new Error(`Unexpected argument '${noun}'`);
    return {
      help: values.help ?? false,
      config: values.config,
      resetEmail: values['reset-password']?.trim().toLowerCase(),
      databaseWords: noun === undefined ? undefined : databaseWords,
    };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new HoldfastError('usage', detail, { cause: error, remedy: 'See holdfast server --help.' });
  }
}

export function helpText(): string {
  const lines = Object.entries<Setting>(settings).map(([name, { summary, standard }]) => {
    return `  ${name}\n      ${summary}${standard === undefined ? '' : ` (default: ${standard})`}`;
  });
  return `Usage: holdfast server [--config FILE] [--json]
       holdfast server --reset-password EMAIL
       holdfast server database status | export FILE | import FILE

Runs the server: API and database, until SIGTERM or SIGINT. The first start makes what is missing and prints the
password of the administrator, once.

  --config FILE           Settings, NAME=VALUE a line (default: the file that HOLDFAST_CONFIG names, or none)
  --json                  Print one JSON object a line; "ready" says that it answers, and where
  --reset-password EMAIL  Give this user a new password, printed once, and turn their code off; with the
                          embedded database while the server is stopped
  --help                  Show this help

database status    Say which database it is and whether its schema is that of this program
database export    Write all of it into a new file, also while the server runs. The file holds what passwords are
                   checked with; the server's key is not in it and is to be kept beside it
database import    Fill a database that is empty: another data directory, or another DATABASE_URL

Settings, in the environment or in the file; the environment wins:
${lines.join('\n')}`;
}
