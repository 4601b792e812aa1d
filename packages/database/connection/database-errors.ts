/**
 * What PostgreSQL and the way to it fail with, as errors of ours. What a store decides upon (a unique violation, a deadlock)
 * stays as it is: `sqlState` tells it.
 */
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import { DatabaseError } from 'pg';

/** The five characters of PostgreSQL, `23505`; undefined when it is no error of the server's. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EACCES',
]);

/** How pg says that a connection broke off or was not made in time; it has no codes for it. */
const BROKEN = /Connection terminated|Client has encountered a connection error|timeout expired|timeout exceeded/;

/** Resource and operator classes, by their first characters: connections, shutdown, crash, too many clients. */
const UNREACHABLE_STATES = /^08|^57P0[1-5]|^53300/;
const DENIED_STATES = /^28|^3D000|^42501/;
const FULL_STATES = /^53100/;

/** Of a query: the error itself unless the database is away, closed or full. */
export function queryError(error: unknown, place: string): unknown {
  return codeFor(error) === undefined ? error : connectionError(error, place);
}

/** Of making a connection: whatever it was, there is none. */
export function connectionError(error: unknown, place: string): HoldfastError {
  const reason = error instanceof Error ? error.message || systemErrorCode(error) : String(error);
  return new HoldfastError(codeFor(error) ?? 'database_unreachable', `${place}: ${reason ?? 'no answer'}`, {
    cause: error,
  });
}

function codeFor(error: unknown): 'database_unreachable' | 'database_denied' | 'database_full' | undefined {
  const state = sqlState(error);
  if (state !== undefined) {
    if (UNREACHABLE_STATES.test(state)) return 'database_unreachable';
    if (DENIED_STATES.test(state)) return 'database_denied';
    return FULL_STATES.test(state) ? 'database_full' : undefined;
  }
  if (!(error instanceof Error)) return undefined;
  const away = UNREACHABLE.has(systemErrorCode(error) ?? '') || BROKEN.test(error.message);
  return away ? 'database_unreachable' : undefined;
}
