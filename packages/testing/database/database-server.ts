/** One embedded PostgreSQL for a test file, and in it a fresh database with the newest schema for each test. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Database, migrate, openDatabase, runningPlace } from '@holdfast/database';
import { sql } from 'kysely';

export interface DatabaseServer extends AsyncDisposable {
  /** A copy of a template: some tenths of a second. */
  makeDatabase(options?: TestDatabaseOptions): Promise<TestDatabase>;
}

export type TestDatabaseOptions = {
  /** Without a schema, as PostgreSQL makes it. */
  readonly empty?: boolean;
  /** Of its pool. */
  readonly connections?: number;
};

export type TestDatabase = Database & {
  /** For further pools and programs. */
  readonly url: string;
};

const TEMPLATE = 'holdfast_template';

/** `before` a file's tests. @throws as openDatabase does */
export async function startDatabaseServer(): Promise<DatabaseServer> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'pg-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o755); // PostgreSQL runs as another user
  const place = join(directory, 'db');
  const server = stack.use(await openDatabase({ place: { kind: 'embedded', directory: place } }));
  const running = runningPlace({ directory: place });
  const urlOf = (name: string): string => running.url.replace('/postgres?', `/${name}?`);
  const openNamed = (name: string, connections?: number): Promise<Database> =>
    openDatabase({
      place: { kind: 'external', url: urlOf(name) },
      ...(connections === undefined ? {} : { connections }),
    });

  await sql`create database ${sql.id(TEMPLATE)}`.execute(server.db);
  await using template = await openNamed(TEMPLATE);
  await migrate(template);

  let made = 0;
  const owned = stack.move();
  return {
    async makeDatabase({ empty = false, connections } = {}) {
      made += 1;
      const name = `test_${made}`;
      const origin = empty ? 'template1' : TEMPLATE;
      await sql`create database ${sql.id(name)} template ${sql.id(origin)}`.execute(server.db);
      const database = await openNamed(name, connections);
      return {
        ...database,
        url: urlOf(name),
        async [Symbol.asyncDispose]() {
          await database[Symbol.asyncDispose]();
          await sql`drop database ${sql.id(name)} with (force)`.execute(server.db);
        },
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
