/** What keeps an embedded PostgreSQL from working, as errors an operator can act upon. */
import { HoldfastError, systemErrorCode } from '@holdfast/base';

/** Of a system call below the directory of the database. */
export function directoryError(directory: string, cause: unknown): HoldfastError {
  if (cause instanceof HoldfastError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const full = ['ENOSPC', 'EDQUOT'].includes(systemErrorCode(cause) ?? '');
  return new HoldfastError(
    full ? 'database_full' : 'database_directory_unusable',
    `${directory} cannot hold the database: ${reason}`,
    { cause, facts: { directory } },
  );
}

export function busyError(directory: string, holder: string): HoldfastError {
  return new HoldfastError('database_busy', `${directory} is used by ${holder}.`, { facts: { directory } });
}

/** What the programs of PostgreSQL say (with LC_MESSAGES=C), in the order in which it is looked for. */
const causes: readonly (readonly [RegExp, 'database_full' | 'database_directory_unusable' | 'database_busy'])[] = [
  [/No space left on device|Disk quota exceeded/, 'database_full'],
  [/pre-existing shared memory block|lock file ".*" already exists/, 'database_busy'],
  [
    /Permission denied|Read-only file system|Operation not permitted|wrong ownership|invalid permissions/,
    'database_directory_unusable',
  ],
];

/** @param text what the program wrote before it ended */
export function programError(request: {
  readonly program: string;
  readonly directory: string;
  /** Who it ran as, when not as who we are. */
  readonly user?: { readonly name: string } | undefined;
  readonly text: string;
}): HoldfastError {
  const { program, directory, user, text } = request;
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const telling = lines.findLast((line) => /FATAL|PANIC|error:|setpriv:/.test(line)) ?? lines.at(-1) ?? 'no message';
  const code = causes.find(([pattern]) => pattern.test(text))?.[1] ?? 'database_failed';
  const facts = { directory, output: lines.slice(-20) };
  const detail = `${program} failed in ${directory}: ${telling.trim()}`;
  if (code !== 'database_directory_unusable' || user === undefined) return new HoldfastError(code, detail, { facts });
  const remedy = `PostgreSQL runs as ${user.name} here: its data must belong to that user, and every directory above must let it through.`;
  return new HoldfastError(code, detail, { facts, remedy });
}
