/** The database as programs hold it: embedded or somebody's PostgreSQL, the same from here on. */
import { Kysely, PostgresDialect, sql } from 'kysely';
import type pg from 'pg';
import { HoldfastError } from '@holdfast/base';
import { connectionSettings, describeUrl } from './connection/connection-settings.ts';
import { Listener, type OnNotification } from './connection/listener.ts';
import { openPool } from './connection/open-pool.ts';
import { connectionOf, startEmbeddedPostgres } from './embedded/embedded-postgres.ts';
import type { Schema } from './schema/schema.ts';

export type EmbeddedPlace = {
  readonly kind: 'embedded';
  /** Absolute path, on a local file system; made when missing. */
  readonly directory: string;
};

export type ExternalPlace = {
  readonly kind: 'external';
  /** `postgresql://USER:PASSWORD@HOST:PORT/NAME`. */
  readonly url: string;
};

export type DatabasePlace = EmbeddedPlace | ExternalPlace;

/**
 * The embedded PostgreSQL that another process runs in this directory, as somebody else's: to look at it, or to export it,
 * while its server runs. Only for the user that it belongs to, and for root.
 */
export function runningPlace({ directory }: { readonly directory: string }): ExternalPlace {
  const { user, database, host } = connectionOf(directory);
  return { kind: 'external', url: `postgresql:///${database}?${new URLSearchParams({ host, user }).toString()}` };
}

export type DatabaseOptions = {
  readonly place: DatabasePlace;
  /** Of the pool, at most. */
  readonly connections?: number;
  /** What the embedded PostgreSQL and its supervisor have to say, line by line. */
  readonly log?: (line: string) => void;
};

export interface Database extends AsyncDisposable {
  readonly db: Kysely<Schema>;
  /** For people; without a password. */
  readonly description: string;
  /** `18.4`. */
  readonly serverVersion: string;
  /**
   * Calls back at each `notify` on the channel, a lower-case word, until disposed; over one connection for all. A hint to
   * look, never the news: after the connection broke, the payload is undefined.
   */
  listen(channel: string, onNotification: OnNotification): Promise<Disposable>;
}

/** Ten serve 2.4k claims of work a second, and 60 are the embedded one's most. */
const DEFAULT_CONNECTIONS = 10;

const OLDEST_VERSION = 15;

/**
 * Starts it where it is embedded, and connects. The schema is as it is: see `migrate`. Disposing ends the connections, and
 * the embedded PostgreSQL in good order.
 * @throws database_url_invalid database_unreachable database_denied database_unsupported
 * @throws database_busy database_full database_directory_unusable database_failed of an embedded one
 */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const { connections = DEFAULT_CONNECTIONS, log = () => undefined } = options;
  await using stack = new AsyncDisposableStack();
  const { config, description, ready, patienceMs } = await findServer({ place: options.place, log, stack });
  const dialect = new PostgresDialect({
    pool: openPool({ config, place: description, connections, ready, patienceMs }),
  });
  const db = new Kysely<Schema>({ dialect });
  stack.defer(() => db.destroy());
  const serverVersion = await readVersion(db, description);
  const listener = stack.use(new Listener({ config, ready, log }));
  const owned = stack.move();
  return {
    db,
    description,
    serverVersion,
    listen: (channel, onNotification) => listener.subscribe(channel, onNotification),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

type Server = {
  readonly config: pg.ClientConfig;
  readonly description: string;
  readonly ready: () => Promise<void>;
  readonly patienceMs: number;
};

/** A restart after kill -9 takes up to 1.8 s (docs/adr/0013); of somebody else's server nothing is known. */
const EMBEDDED_PATIENCE_MS = 5000;

async function findServer(request: {
  readonly place: DatabasePlace;
  readonly log: (line: string) => void;
  readonly stack: AsyncDisposableStack;
}): Promise<Server> {
  const { place, log, stack } = request;
  if (place.kind === 'external') {
    const config = { ...connectionSettings, connectionString: place.url };
    return { config, description: describeUrl(place.url), ready: async () => undefined, patienceMs: 0 };
  }
  const embedded = stack.use(await startEmbeddedPostgres({ directory: place.directory, log }));
  return {
    // Every default of pg's own would come from the environment.
    config: { ...connectionSettings, ...embedded.connection, port: 5432, ssl: false },
    description: `embedded PostgreSQL in ${place.directory}`,
    ready: () => embedded.ready(),
    patienceMs: EMBEDDED_PATIENCE_MS,
  };
}

async function readVersion(db: Kysely<Schema>, description: string): Promise<string> {
  const { rows } = await sql<{ server_version: string }>`show server_version`.execute(db);
  const version = rows[0]!.server_version.split(' ', 1)[0]!;
  if (Number.parseInt(version, 10) >= OLDEST_VERSION) return version;
  throw new HoldfastError('database_unsupported', `${description} is PostgreSQL ${version}.`, {
    remedy: `Use PostgreSQL ${OLDEST_VERSION} or newer.`,
  });
}
