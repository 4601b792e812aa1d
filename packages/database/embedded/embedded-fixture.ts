/** Places and processes for tests of the embedded PostgreSQL. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { type Database, openDatabase } from '../open-database.ts';

export type Place = AsyncDisposable & {
  /** Everybody may enter it. */
  readonly parent: string;
  /** For a database; does not exist yet. */
  readonly directory: string;
};

export async function makePlace(): Promise<Place> {
  const parent = await mkdtemp(join(tmpdir(), 'pg-'));
  await chmod(parent, 0o755);
  return {
    parent,
    directory: join(parent, 'db'),
    [Symbol.asyncDispose]: () => rm(parent, { recursive: true, force: true }),
  };
}

export function openEmbedded(directory: string, log?: (line: string) => void): Promise<Database> {
  return openDatabase({ place: { kind: 'embedded', directory }, ...(log === undefined ? {} : { log }) });
}

/** Numbers that were committed, in a table of their own. */
export async function makeNumbers(database: Database): Promise<void> {
  await sql`create table if not exists numbers (n integer primary key)`.execute(database.db);
}

/** May be repeated: a commit that was not answered may have happened. */
export async function addNumber(database: Database, n: number): Promise<void> {
  await sql`insert into numbers values (${n}) on conflict do nothing`.execute(database.db);
}

export async function readNumbers(database: Database): Promise<readonly number[]> {
  const { rows } = await sql<{ n: number }>`select n from numbers order by n`.execute(database.db);
  return rows.map(({ n }) => n);
}

/** Of the server that answers. */
export async function postmasterPid(database: Database): Promise<number> {
  const { rows } = await sql<{ pid: string }>`
    select split_part(pg_read_file('postmaster.pid'), E'\n', 1) as pid`.execute(database.db);
  return Number(rows[0]!.pid);
}

export type Holder = { readonly child: ChildProcess; readonly postmaster: number };

/** A process of its own that has the database open and has committed the number 1. @throws Error with what it said */
export async function startHolder(directory: string, command: readonly string[] = []): Promise<Holder> {
  const script = fileURLToPath(import.meta.resolve('./holder-fixture.ts'));
  const child = spawn('env', [...command, process.execPath, script, directory], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close').then(() => {
    throw new Error(errors);
  });
  const [line] = (await Promise.race([once(child.stdout.setEncoding('utf8'), 'data'), ended])) as [string];
  ended.catch(() => undefined);
  return { child, postmaster: Number(line) };
}

/** @throws Error when it lives on */
export async function waitForEnd(pid: number): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 20) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await delay(20);
  }
  throw new Error(`process ${pid} is still there`);
}
