/** Writes everything the database holds into one file, as of one moment, while it is in use. */
import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, HoldfastError, systemErrorCode } from '@holdfast/base';
import { type Kysely, sql, type Transaction } from 'kysely';
import { readMigrations } from '../migrations/migrate.ts';
import type { Schema } from '../schema/schema.ts';
import { type ExportHeader, formatName, formatVersion, rowLine, tableLine } from './export-format.ts';
import { readTables, type Table } from './tables.ts';

export type ExportRequest = {
  readonly db: Kysely<Schema>;
  /** Must not exist. For its owner only: it holds what passwords are checked with. */
  readonly file: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
};

export type ExportReport = { readonly rows: number; readonly sizeBytes: number };

/** Rows fetched at a time. */
const BATCH_ROWS = 500;

/**
 * The file is there only when it is whole. Nobody else waits.
 * @throws target_exists target_full target_unwritable, database_foreign for a database that was never migrated
 */
export async function exportDatabase({ db, file, clock, signal }: ExportRequest): Promise<ExportReport> {
  if (await stat(file).then(Boolean, () => false)) throw new HoldfastError('target_exists', `${file} exists.`);
  const unfinished = `${file}.unfinished`;
  try {
    const report = await writeFile({ db, file: unfinished, clock, signal });
    await rename(unfinished, file);
    await using directory = await open(dirname(file));
    await directory.sync();
    return report;
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw targetError(file, error);
  }
}

async function writeFile({ db, file, clock, signal }: ExportRequest): Promise<ExportReport> {
  await using handle = await open(file, 'w', 0o600);
  const output = new HashedOutput(handle);
  const rows = await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute(async (transaction) => {
      const tables = await readTables(transaction);
      const step = (await readMigrations(transaction)).length;
      if (step === 0) throw new HoldfastError('database_foreign', 'The database holds nothing of Holdfast.');
      const header: ExportHeader = {
        format: formatName,
        format_version: formatVersion,
        step,
        exported_at: new Date(clock.nowMs()).toISOString(),
        tables: tables.map(({ name, columns }) => ({ name, columns })),
      };
      await output.write(`${JSON.stringify(header)}\n`);
      let rows = 0;
      for (const table of tables) rows += await writeTable({ transaction, table, output, signal });
      return rows;
    });
  await output.write(`${JSON.stringify({ rows, sha256: output.digest() })}\n`);
  await handle.sync();
  return { rows, sizeBytes: output.sizeBytes };
}

type TableRequest = {
  readonly transaction: Transaction<Schema>;
  readonly table: Table;
  readonly output: HashedOutput;
  readonly signal: AbortSignal | undefined;
};

/** By primary key: ids grow with time, so a row comes after the ones it was made from. */
async function writeTable({ transaction, table, output, signal }: TableRequest): Promise<number> {
  await output.write(tableLine(table.name));
  const order = sql.join(table.primaryKey.map((column) => sql.ref(`t.${column}`)));
  await sql`declare rows no scroll cursor for
    select to_jsonb(t)::text as json from ${sql.table(table.name)} t order by ${order}`.execute(transaction);
  let count = 0;
  for (;;) {
    signal?.throwIfAborted();
    const { rows } = await sql<{ json: string }>`fetch ${sql.lit(BATCH_ROWS)} from rows`.execute(transaction);
    if (rows.length === 0) break;
    count += rows.length;
    await output.write(rows.map(({ json }) => rowLine(json)).join(''));
  }
  await sql`close rows`.execute(transaction);
  return count;
}

class HashedOutput {
  readonly #handle: FileHandle;
  readonly #hash = createHash('sha256');
  #sizeBytes = 0;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async write(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    this.#hash.update(bytes);
    this.#sizeBytes += bytes.length;
    await this.#handle.appendFile(bytes);
  }

  /** Of all that was written so far. */
  digest(): string {
    return this.#hash.copy().digest('hex');
  }
}

function targetError(file: string, error: unknown): unknown {
  const code = systemErrorCode(error);
  if (error instanceof HoldfastError || code === undefined) return error;
  const full = ['ENOSPC', 'EDQUOT'].includes(code);
  return new HoldfastError(full ? 'target_full' : 'target_unwritable', `${file} cannot be written: ${code}`, {
    cause: error,
  });
}
