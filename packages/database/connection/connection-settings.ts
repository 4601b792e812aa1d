/** How connections are made: to the embedded PostgreSQL or to the one of an address. */
import { HoldfastError } from '@holdfast/base';
import pg from 'pg';

/** Time for a connection to be made; also the wait for a free one of the pool. */
const CONNECT_LIMIT_MS = 15_000;

/** A transaction whose server stands still holds locks that others wait for. */
const IDLE_TRANSACTION_LIMIT_MS = 60_000;

/** bigint columns come as numbers: what they count stays below 2^53. Times come as Date, numeric as string. */
const parsers = new pg.TypeOverrides();
parsers.setTypeParser(pg.types.builtins.INT8, safeInteger);

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`the database holds ${text}, which is no safe integer`);
  return value;
}

export const connectionSettings: pg.ClientConfig = {
  application_name: 'holdfast',
  connectionTimeoutMillis: CONNECT_LIMIT_MS,
  idle_in_transaction_session_timeout: IDLE_TRANSACTION_LIMIT_MS,
  keepAlive: true,
  types: parsers,
};

/** For messages: without the password. @throws database_url_invalid */
export function describeUrl(url: string): string {
  try {
    const { protocol, username, password, host, pathname } = new URL(url);
    // pg would decode them only when it connects.
    for (const part of [username, password, pathname]) decodeURIComponent(part);
    if (/^postgres(ql)?:$/.test(protocol) && pathname.length > 1) return `${protocol}//${username}@${host}${pathname}`;
  } catch {
    // told below
  }
  throw new HoldfastError(
    'database_url_invalid',
    'The address of the database is no postgresql://USER@HOST:PORT/NAME.',
  );
}
