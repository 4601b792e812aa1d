/** A Debian guest with PostgreSQL and MariaDB, both written to all the time, and with the hooks of docs/hooks in it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Domain } from '@holdfast/hypervisor/libvirt';
import { runInGuest } from './machine-fixture.ts';

/** Numbered rows, each with a checksum over its number and words, each committed by itself. */
export type Journal = {
  readonly rows: number;
  readonly first: number;
  readonly last: number;
  /** Rows whose checksum is wrong. */
  readonly torn: number;
};

export type Databases = {
  readonly postgresql: Journal;
  /** InnoDB. */
  readonly mariadb: Journal;
  /** MyISAM: no transactions, no recovery; written after the row of the same number in `mariadb`. */
  readonly notes: Journal;
};

const hooks = resolve(import.meta.dirname, '../../docs/hooks');

/** Returns when both answer (a boot of both takes a while under emulation). */
export async function waitForDatabases(domain: Domain): Promise<void> {
  await runInGuest(
    domain,
    `for i in $(seq 400); do
       pg_isready -q && mariadb-admin ping >/dev/null 2>&1 && exit 0
       sleep 0.3
     done
     systemctl --no-pager status postgresql@15-main mariadb >&2; exit 1`,
    { timeoutMs: 300_000 },
  );
}

/** As docs/guest-hooks.md says. */
export async function installHooks(domain: Domain): Promise<void> {
  await runInGuest(domain, 'mkdir -p /etc/holdfast/quiesce.d');
  for (const [file, path] of [
    ['quiesce', '/etc/holdfast/quiesce'],
    ['postgresql', '/etc/holdfast/quiesce.d/10-postgresql'],
    ['mariadb', '/etc/holdfast/quiesce.d/90-mariadb'],
  ] as const) {
    await installProgram(domain, path, await readFile(join(hooks, file), 'utf8'));
  }
}

export async function installProgram(domain: Domain, path: string, text: string): Promise<void> {
  await runInGuest(domain, `cat > ${path} && chmod 755 ${path}`, { input: text });
}

const postgresqlSchema = `
CREATE EXTENSION amcheck;
CREATE TABLE journal (n bigint PRIMARY KEY, words text NOT NULL, sum text NOT NULL);
CREATE PROCEDURE write_on() LANGUAGE plpgsql AS $$
DECLARE
  next bigint;
  words text;
BEGIN
  SELECT coalesce(max(n), 0) INTO next FROM journal;
  LOOP
    next := next + 1;
    words := repeat(md5(next::text), 30);
    INSERT INTO journal VALUES (next, words, md5(next || words));
    COMMIT;
    PERFORM pg_sleep(0.03);
  END LOOP;
END $$;
`;

const mariadbSchema = `
CREATE DATABASE shop;
USE shop;
CREATE TABLE journal (n BIGINT PRIMARY KEY, words TEXT NOT NULL, sum CHAR(32) NOT NULL) ENGINE=InnoDB;
CREATE TABLE notes (n BIGINT PRIMARY KEY, words TEXT NOT NULL, sum CHAR(32) NOT NULL) ENGINE=MyISAM;
DELIMITER //
CREATE PROCEDURE write_on()
BEGIN
  DECLARE next BIGINT;
  DECLARE text_of_it TEXT;
  SELECT COALESCE(MAX(n), 0) INTO next FROM journal;
  LOOP
    SET next = next + 1;
    SET text_of_it = REPEAT(MD5(next), 30);
    INSERT INTO journal VALUES (next, text_of_it, MD5(CONCAT(next, text_of_it)));
    INSERT INTO notes VALUES (next, text_of_it, MD5(CONCAT(next, text_of_it)));
    DO SLEEP(0.03);
  END LOOP;
END//
DELIMITER ;
`;

export async function makeJournals(domain: Domain): Promise<void> {
  const psql = 'cd / && runuser -u postgres -- psql -X -q -v ON_ERROR_STOP=1 -d postgres';
  await runInGuest(domain, psql, { input: postgresqlSchema });
  await runInGuest(domain, 'mariadb', { input: mariadbSchema });
}

/** They go on from the last row, at each start. */
export async function startWriters(domain: Domain): Promise<void> {
  await runInGuest(
    domain,
    `systemd-run --quiet --collect --unit=writer-postgresql --uid=postgres psql -X -q -d postgres -c 'CALL write_on()'
     systemd-run --quiet --collect --unit=writer-mariadb mariadb shop -e 'CALL write_on()'`,
  );
}

export async function stopWriters(domain: Domain): Promise<void> {
  await runInGuest(domain, 'systemctl stop writer-postgresql writer-mariadb');
}

/** The journals as programs in the guest read them: every row of them. */
export async function readDatabases(domain: Domain): Promise<Databases> {
  const count = 'SELECT count(*), coalesce(min(n), 0), coalesce(max(n), 0),';
  const output = await runInGuest(
    domain,
    `cd /
     runuser -u postgres -- psql -X -A -t -F ' ' -d postgres -c '${count} count(*) FILTER (WHERE sum <> md5(n || words)) FROM journal'
     for table in journal notes; do
       mariadb -N -B shop -e "${count} count(IF(sum <> MD5(CONCAT(n, words)), 1, NULL)) FROM $table"
     done`,
  );
  const [postgresql, mariadb, notes] = output.split('\n').map(journalOf);
  assert.ok(postgresql && mariadb && notes, output);
  return { postgresql, mariadb, notes };
}

function journalOf(line: string): Journal {
  const [rows = 0, first = 0, last = 0, torn = 0] = line.split(/\s+/).map(Number);
  return { rows, first, last, torn };
}

/** No row is torn, and none is missing before the last. */
export function assertWhole(journal: Journal): void {
  const { rows, last } = journal;
  assert.ok(rows > 0, 'no row');
  assert.deepEqual(journal, { rows: last, first: 1, last, torn: 0 });
}

/** The number of the last row that MariaDB has committed. */
export async function lastInMariadb(domain: Domain): Promise<number> {
  return Number(await runInGuest(domain, "mariadb -N -B shop -e 'SELECT COALESCE(MAX(n), 0) FROM journal'"));
}

/** MariaDB's writer commits again. @throws AssertionError when it does not within about 60 s */
export async function assertMariadbGoesOn(domain: Domain): Promise<void> {
  const before = await lastInMariadb(domain);
  for (let attempt = 1; attempt <= 120; attempt++) {
    if ((await lastInMariadb(domain)) > before + 1) return;
  }
  assert.fail('the writer of MariaDB stands still');
}
