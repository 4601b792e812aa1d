/** Brings the schema of a database to what this program knows. Several servers may do so at once. */
import { HoldfastError } from '@holdfast/base';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../schema/schema.ts';
import type { Migration } from './migration.ts';
import { migrations } from './migrations.ts';

/** Of the advisory lock that whoever changes the schema holds: "hold", in hex. */
const MIGRATION_LOCK = 0x686f6c64;

/** Tables that this file owns; they are no part of an export. */
export const migrationTable = 'migration';

/**
 * All missing steps in one transaction, under a lock: who comes second finds nothing left to do. `upTo` is for imports
 * and tests. @returns how many steps it took @throws database_newer database_foreign
 */
export async function migrate({ db, upTo = migrations.length }: MigrateOptions): Promise<number> {
  return await db.transaction().execute((transaction) => migrateWithin({ db: transaction, upTo }));
}

export type MigrateOptions = {
  readonly db: Kysely<Schema>;
  /** The number of the last step to take. */
  readonly upTo?: number;
};

/** The same inside of a transaction that goes on. */
export async function migrateWithin({ db, upTo = migrations.length }: MigrateOptions): Promise<number> {
  await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`.execute(db);
  const applied = await readMigrations(db);
  if (applied.length === 0) await createMigrationTable(db);
  const missing = migrations.slice(applied.length, upTo);
  for (const { number, title, statements } of missing) {
    await sql.raw(statements).execute(db);
    // Only for people: nothing is decided by it.
    await sql`insert into migration (number, title, applied_at) values (${number}, ${title}, now())`.execute(db);
  }
  return missing.length;
}

export type SchemaStatus = {
  /** The last step that the database has; 0 of an empty one. */
  readonly step: number;
  /** The last one that this program knows. */
  readonly newest: number;
};

/** @throws database_newer database_foreign */
export async function readSchemaStatus({ db }: Pick<MigrateOptions, 'db'>): Promise<SchemaStatus> {
  return { step: (await readMigrations(db)).length, newest: migrations.length };
}

export type AppliedMigration = Pick<Migration, 'number' | 'title'>;

/** What was applied, in order; empty for an empty database. @throws database_newer database_foreign */
export async function readMigrations(db: Kysely<Schema>): Promise<readonly AppliedMigration[]> {
  const { rows: tables } = await sql<{ name: string }>`
    select tablename as name from pg_tables where schemaname = current_schema() order by tablename`.execute(db);
  if (tables.length === 0) return [];
  if (!tables.some(({ name }) => name === migrationTable)) {
    throw new HoldfastError(
      'database_foreign',
      `The database holds tables that are not Holdfast's: ${tables[0]!.name}.`,
    );
  }
  const { rows } = await sql<AppliedMigration>`select number, title from migration order by number`.execute(db);
  const unknown = rows.find(({ number, title }) => migrations[number - 1]?.title !== title);
  if (unknown === undefined) return rows;
  const known = `This program knows ${migrations.length} steps of the schema`;
  throw new HoldfastError('database_newer', `${known}; the database has step ${unknown.number}, ${unknown.title}.`);
}

async function createMigrationTable(db: Kysely<Schema>): Promise<void> {
  await sql`create table migration (number integer primary key, title text not null, applied_at timestamptz not null)`.execute(
    db,
  );
}
