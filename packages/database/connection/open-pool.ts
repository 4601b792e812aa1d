/** The pool of connections that kysely works with. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { PostgresPool, PostgresPoolClient } from 'kysely';
import { connectionError, queryError } from './database-errors.ts';

export type PoolOptions = {
  readonly config: pg.ClientConfig;
  /** For messages. */
  readonly place: string;
  readonly connections: number;
  /** Awaited before a connection is taken: the embedded PostgreSQL may be starting again. */
  readonly ready: () => Promise<void>;
  /** For how long a connection that is refused is tried again: before it is noticed that the embedded one died. */
  readonly patienceMs: number;
};

const RETRY_MS = 50;

const IDLE_LIMIT_MS = 30_000;

/** Connections are made when they are needed, and given up after 30 s of idleness. */
export function openPool({ config, place, connections, ready, patienceMs }: PoolOptions): PostgresPool {
  const pool = new pg.Pool({ ...config, max: connections, idleTimeoutMillis: IDLE_LIMIT_MS });
  // An idle connection that breaks is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => undefined);
  // What breaks one in use is told by its query, too. From the beginning: the end of a connection may come in the same packet
  // as the greeting, before whoever asked for it has it (seen in the test that breaks connections).
  pool.on('connect', (client) => client.on('error', () => undefined));
  const translated = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client = await connectPatiently({ pool, place, ready, patienceMs });
      const known = translated.get(client);
      if (known !== undefined) return known;
      const made = translate(client, place);
      translated.set(client, made);
      return made;
    },
  };
}

type Connecting = Pick<PoolOptions, 'place' | 'ready' | 'patienceMs'> & { readonly pool: pg.Pool };

/** Nothing was asked of a connection that was not made: it may be tried again. */
async function connectPatiently({ pool, place, ready, patienceMs }: Connecting): Promise<pg.PoolClient> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    await ready();
    try {
      return await pool.connect();
    } catch (error) {
      const told = connectionError(error, place);
      if (told.code !== 'database_unreachable' || performance.now() >= endMs) throw told;
      await delay(RETRY_MS);
    }
  }
}

/** Kysely asks each connection for three things; queries of this one fail with errors of ours. */
function translate(client: pg.PoolClient, place: string): PostgresPoolClient {
  const query = async (sql: string, parameters: readonly unknown[]): Promise<unknown> => {
    try {
      return await client.query(sql, [...parameters]);
    } catch (error) {
      throw queryError(error, place);
    }
  };
  // The second way to call it, with a cursor, is only taken by streams, which are not set up.
  return { query, release: (destroy) => client.release(destroy) } as PostgresPoolClient;
}
