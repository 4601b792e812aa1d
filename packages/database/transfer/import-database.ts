/** Fills an empty database from an export, whole or not at all, and brings it to the schema of this program. */
import { type FileHandle, open } from 'node:fs/promises';
import { HoldfastError } from '@holdfast/base';
import { type Kysely, sql, type Transaction } from 'kysely';
import { migrateWithin, readMigrations } from '../migrations/migrate.ts';
import { migrations } from '../migrations/migrations.ts';
import type { Schema } from '../schema/schema.ts';
import { type CheckedExport, checkExport, damaged, type ExportHeader, readEntries } from './export-format.ts';
import { readTables } from './tables.ts';

export type ImportRequest = {
  /** Without a table in it, also none of Holdfast's. */
  readonly db: Kysely<Schema>;
  readonly file: string;
  readonly signal?: AbortSignal | undefined;
};

export type ImportReport = { readonly rows: number };

/** Rows inserted at a time. */
const BATCH_ROWS = 500;

/**
 * The export is checked as a whole before anything is written; then all happens in one transaction.
 * @throws source_not_found source_unreadable database_export_damaged database_newer database_not_empty database_foreign
 */
export async function importDatabase({ db, file, signal }: ImportRequest): Promise<ImportReport> {
  await using handle = await openExport(file);
  const { header, rows } = await checkSource(handle);
  await db.transaction().execute(async (transaction) => {
    if ((await readMigrations(transaction)).length > 0) {
      throw new HoldfastError('database_not_empty', 'The database holds tables of Holdfast already.');
    }
    await migrateWithin({ db: transaction, upTo: header.step });
    await compareTables(transaction, header);
    await insertRows({ transaction, handle, signal });
    await migrateWithin({ db: transaction });
  });
  // Without it, the first queries would be planned for empty tables.
  await sql`analyze`.execute(db);
  return { rows };
}

async function openExport(file: string): Promise<FileHandle> {
  try {
    return await open(file);
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
    throw new HoldfastError(missing ? 'source_not_found' : 'source_unreadable', `${file} cannot be read.`, { cause });
  }
}

async function checkSource(handle: FileHandle): Promise<CheckedExport> {
  const checked = await checkExport(handle);
  const { step } = checked.header;
  if (step <= migrations.length) return checked;
  const detail = `The export has step ${step} of the schema; this program knows ${migrations.length}.`;
  throw new HoldfastError('database_newer', detail);
}

/** A column that is in one of both only would be lost without a word. */
async function compareTables(transaction: Transaction<Schema>, header: ExportHeader): Promise<void> {
  const there = await readTables(transaction);
  const wanted = JSON.stringify(there.map(({ name, columns }) => ({ name, columns })));
  const found = JSON.stringify(header.tables.map(({ name, columns }) => ({ name, columns })));
  if (wanted !== found) throw damaged(`its tables are not those of step ${header.step} of the schema`);
}

async function insertRows(request: {
  readonly transaction: Transaction<Schema>;
  readonly handle: FileHandle;
  readonly signal: AbortSignal | undefined;
}): Promise<void> {
  const { transaction, handle, signal } = request;
  let table = '';
  let batch: string[] = [];
  const flush = async (): Promise<void> => {
    signal?.throwIfAborted();
    if (batch.length === 0) return;
    const rows = `[${batch.join(',')}]`;
    batch = [];
    const target = sql.table(table);
    await sql`insert into ${target} select * from jsonb_populate_recordset(null::${target}, ${rows}::jsonb)`.execute(
      transaction,
    );
  };
  for await (const entry of readEntries(handle)) {
    if (entry.kind === 'row') batch.push(entry.json);
    if (entry.kind === 'table' || batch.length === BATCH_ROWS) await flush();
    if (entry.kind === 'table') table = entry.table;
  }
  await flush();
}
