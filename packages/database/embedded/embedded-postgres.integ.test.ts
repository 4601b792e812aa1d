import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '@holdfast/base';
import { mountForTest } from '@holdfast/testing';
import { sql } from 'kysely';
import { openDatabase, runningPlace } from '../open-database.ts';
import {
  addNumber,
  makeNumbers,
  makePlace,
  openEmbedded,
  postmasterPid,
  readNumbers,
  startHolder,
  waitForEnd,
} from './embedded-fixture.ts';

const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? false : 'needs root';
const nobody = 65534;

test('the first start makes a database; after a clean stop the next one finds it without recovery', async () => {
  await using place = await makePlace();
  {
    await using database = await openEmbedded(place.directory);
    assert.match(database.serverVersion, /^18\./);
    await makeNumbers(database);
    await addNumber(database, 1);
  }
  const lines: string[] = [];
  await using database = await openEmbedded(place.directory, (line) => lines.push(line));
  assert.deepEqual(await readNumbers(database), [1]);
  assert.ok(
    lines.some((line) => line.includes('database system was shut down at')),
    lines.join('\n'),
  );
  assert.ok(!lines.some((line) => line.includes('not properly shut down')));
});

test('what was committed is flushed, and nothing but the socket leads in', async () => {
  await using place = await makePlace();
  await using database = await openEmbedded(place.directory);
  const { rows } = await sql<{ name: string; setting: string }>`
    select name, setting from pg_settings
    where name in ('fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses', 'data_checksums') order by name
  `.execute(database.db);
  assert.deepEqual(
    rows.map(({ name, setting }) => `${name}=${setting}`),
    ['data_checksums=on', 'fsync=on', 'full_page_writes=on', 'listen_addresses=', 'synchronous_commit=on'],
  );
  assert.equal((await stat(join(place.directory, 'socket'))).mode & 0o777, 0o700);
  assert.equal((await stat(join(place.directory, 'data'))).mode & 0o777, 0o700);
});

test('the environment of the database holds no secret of ours', async () => {
  await using place = await makePlace();
  process.env['HOLDFAST_PASSPHRASE'] = 'not for others';
  try {
    await using database = await openEmbedded(place.directory);
    const environment = await readFile(`/proc/${await postmasterPid(database)}/environ`, 'utf8');
    assert.match(environment, /LC_ALL=C/);
    assert.doesNotMatch(environment, /not for others/);
  } finally {
    delete process.env['HOLDFAST_PASSPHRASE'];
  }
});

test('a postmaster killed in the middle of a transaction is started again: committed stays, uncommitted is gone', async () => {
  await using place = await makePlace();
  await using database = await openEmbedded(place.directory);
  await makeNumbers(database);
  await addNumber(database, 1);
  const killed = await postmasterPid(database);
  const broken = database.db.transaction().execute(async (transaction) => {
    await sql`insert into numbers values (2)`.execute(transaction);
    process.kill(killed, 'SIGKILL');
    await sql`select pg_sleep(10)`.execute(transaction);
  });
  await assert.rejects(broken, (error) => hasCode(error, 'database_unreachable'));
  assert.deepEqual(await readNumbers(database), [1]);
  assert.notEqual(await postmasterPid(database), killed);
  await addNumber(database, 3);
  assert.deepEqual(await readNumbers(database), [1, 3]);
});

test('killed again and again, it comes back each time and keeps everything that was committed', async () => {
  await using place = await makePlace();
  await using database = await openEmbedded(place.directory);
  await makeNumbers(database);
  const committed: number[] = [];
  let killed: number | undefined;
  for (let n = 0; n < 8; n += 1) {
    await addNumberPatiently(database, n);
    committed.push(n);
    const postmaster = await postmasterPid(database);
    // A backend may serve on for a moment after its postmaster was killed: then that one is gone already.
    if (postmaster !== killed) process.kill(postmaster, 'SIGKILL');
    killed = postmaster;
  }
  await addNumberPatiently(database, 8);
  committed.push(8);
  assert.deepEqual(await readNumbers(database), committed);
});

test('when our process is killed, PostgreSQL goes too, and the next start recovers', async () => {
  await using place = await makePlace();
  const { child, postmaster } = await startHolder(place.directory);
  child.kill('SIGKILL');
  await once(child, 'close');
  await waitForEnd(postmaster);
  const lines: string[] = [];
  await using database = await openEmbedded(place.directory, (line) => lines.push(line));
  assert.ok(
    lines.some((line) => line.includes('not properly shut down')),
    lines.join('\n'),
  );
  assert.deepEqual(await readNumbers(database), [1]);
});

test('a second server on the same directory is refused, from this process and from another', async () => {
  await using place = await makePlace();
  const { child } = await startHolder(place.directory);
  await assert.rejects(openEmbedded(place.directory), (error) => hasCode(error, 'database_busy'));
  child.kill('SIGKILL');
  await once(child, 'close');
  await using database = await openEmbedded(place.directory);
  await assert.rejects(openEmbedded(place.directory), (error) => hasCode(error, 'database_busy'));
  assert.deepEqual(await readNumbers(database), [1]);
});

test('while its server runs, another process may look into it', async () => {
  await using place = await makePlace();
  const { child } = await startHolder(place.directory);
  {
    await using database = await openDatabase({ place: runningPlace(place) });
    assert.deepEqual(await readNumbers(database), [1]);
  }
  child.kill('SIGKILL');
  await once(child, 'close');
  await assert.rejects(openDatabase({ place: runningPlace(place) }), (error) => hasCode(error, 'database_unreachable'));
});

test('two first starts at once: one has it, the other is refused, nothing is half made', async () => {
  await using place = await makePlace();
  const outcomes = await Promise.allSettled([openEmbedded(place.directory), openEmbedded(place.directory)]);
  const opened = outcomes.filter((outcome) => outcome.status === 'fulfilled');
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  for (const { value } of opened) await value[Symbol.asyncDispose]();
  assert.equal(opened.length, 1);
  assert.ok(hasCode(refused[0]?.reason, 'database_busy'));
  assert.deepEqual(
    (await readdir(place.directory)).filter((name) => name.includes('unfinished')),
    [],
  );
});

test('a pid file left behind that names a living process does not keep it from starting', {
  skip: needsRoot,
}, async () => {
  await using place = await makePlace();
  await (await openEmbedded(place.directory))[Symbol.asyncDispose]();
  const other = spawn('setpriv', [`--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups', 'sleep', '60']);
  await once(other, 'spawn');
  try {
    const pidFile = join(place.directory, 'data/postmaster.pid');
    await writeFile(pidFile, `${other.pid}\n${place.directory}/data\n1700000000\n5432\n${place.directory}/socket\n`);
    await using database = await openEmbedded(place.directory);
    assert.deepEqual((await sql`select 1 as one`.execute(database.db)).rows, [{ one: 1 }]);
  } finally {
    other.kill('SIGKILL');
  }
});

test('a PostgreSQL that somebody started by hand on the data is not disturbed', { skip: needsRoot }, async () => {
  await using place = await makePlace();
  await (await openEmbedded(place.directory))[Symbol.asyncDispose]();
  const runtime = (await readdir(place.directory)).find((name) => name.startsWith('runtime-'))!;
  const owner = await stat(join(place.directory, 'data'));
  const args = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--pdeathsig=QUIT'];
  const command = [join(place.directory, runtime, 'bin/postgres'), '-D', join(place.directory, 'data')];
  // Elsewhere than ours, which would be in its way.
  const sockets = join(place.parent, 'sockets');
  await mkdir(sockets);
  await chmod(sockets, 0o777);
  const byHand = spawn('setpriv', [...args, ...command, '-c', 'listen_addresses=', '-k', sockets]);
  try {
    await waitForText(byHand.stderr, 'ready to accept connections');
    await assert.rejects(openEmbedded(place.directory), (error) => hasCode(error, 'database_busy'));
    assert.equal(byHand.exitCode, null);
    // Without it PostgreSQL would end itself within a minute.
    assert.match(await readFile(join(place.directory, 'data/postmaster.pid'), 'utf8'), new RegExp(`^${byHand.pid}\n`));
  } finally {
    byHand.kill('SIGQUIT');
    await once(byHand, 'close');
  }
  await using database = await openEmbedded(place.directory);
  assert.match(database.serverVersion, /^18\./);
});

test('as a user that is not root it works just the same', { skip: needsRoot }, async (t) => {
  await using place = await makePlace();
  await chmod(place.parent, 0o777);
  const command = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'];
  const readable = spawn('setpriv', [
    ...command.slice(1),
    'test',
    '-r',
    import.meta.filename,
    '-a',
    '-x',
    process.execPath,
  ]);
  const [code] = (await once(readable, 'close')) as [number];
  if (code !== 0) return t.skip('the checkout is closed to other users');
  const { child, postmaster } = await startHolder(place.directory, command);
  assert.equal((await stat(join(place.directory, 'data'))).uid, nobody);
  assert.equal((await stat(join(place.directory, 'lock'))).uid, nobody);
  child.kill('SIGKILL');
  await waitForEnd(postmaster);
});

test('as root it runs as somebody else, who cannot change its programs', { skip: needsRoot }, async () => {
  await using place = await makePlace();
  await using database = await openEmbedded(place.directory);
  const status = await readFile(`/proc/${await postmasterPid(database)}/status`, 'utf8');
  const [, uid] = /^Uid:\t(\d+)/m.exec(status)!;
  assert.notEqual(uid, '0');
  assert.match(status, /^CapEff:\t0+$/m);
  assert.match(status, /^NoNewPrivs:\t1$/m);
  const runtime = (await readdir(place.directory)).find((name) => name.startsWith('runtime-'))!;
  assert.equal((await stat(join(place.directory, runtime, 'bin/postgres'))).uid, 0);
});

test('data of another version is refused and left alone', async () => {
  await using place = await makePlace();
  await (await openEmbedded(place.directory))[Symbol.asyncDispose]();
  const versionFile = join(place.directory, 'data/PG_VERSION');
  await writeFile(versionFile, '17\n');
  await assert.rejects(openEmbedded(place.directory), (error) => {
    assert.ok(hasCode(error, 'database_unsupported'));
    assert.match(error.message, /made by PostgreSQL 17; this program brings PostgreSQL 18/);
    return true;
  });
  assert.equal(await readFile(versionFile, 'utf8'), '17\n');
});

test('a directory with other things in it is refused, and keeps them and its rights', async () => {
  await using place = await makePlace();
  await mkdir(place.directory, { mode: 0o750 });
  await writeFile(join(place.directory, 'thesis.txt'), 'important');
  await assert.rejects(openEmbedded(place.directory), (error) => hasCode(error, 'database_directory_unusable'));
  assert.deepEqual(await readdir(place.directory), ['thesis.txt']);
  assert.equal((await stat(place.directory)).mode & 0o777, 0o750);
});

test('a data directory without a database is refused', async () => {
  await using place = await makePlace();
  await (await openEmbedded(place.directory))[Symbol.asyncDispose]();
  await rm(join(place.directory, 'data/PG_VERSION'));
  await assert.rejects(openEmbedded(place.directory), (error) => hasCode(error, 'database_directory_unusable'));
});

test('what an interrupted first start left is made anew', async () => {
  await using place = await makePlace();
  await mkdir(join(place.directory, 'data-unfinished'), { recursive: true });
  await mkdir(join(place.directory, 'runtime-unfinished'));
  await writeFile(join(place.directory, 'lock'), '');
  await writeFile(join(place.directory, 'data-unfinished/PG_VERSION'), '18\n');
  await using database = await openEmbedded(place.directory);
  assert.match(database.serverVersion, /^18\./);
});

test('a path too long for a socket is refused before anything is made', async () => {
  await using place = await makePlace();
  const directory = join(place.parent, 'd'.repeat(100));
  await assert.rejects(openEmbedded(directory), (error) => hasCode(error, 'database_directory_unusable'));
  assert.deepEqual(await readdir(directory), []);
});

test('a directory that its user cannot get to is refused with the way out', { skip: needsRoot }, async () => {
  await using place = await makePlace();
  await chmod(place.parent, 0o700);
  await assert.rejects(openEmbedded(place.directory), (error) => {
    assert.ok(hasCode(error, 'database_directory_unusable'), String(error));
    assert.match(error.remedy, /PostgreSQL runs as \w+ here: .* every directory above must let it through/);
    return true;
  });
  await chmod(place.parent, 0o755);
  await using database = await openEmbedded(place.directory);
  assert.match(database.serverVersion, /^18\./);
});

test('a read-only file system is refused', async (t) => {
  await using place = await makePlace();
  await using mount = await mountForTest({ at: join(place.parent, 'ro'), options: 'ro,size=1m', test: t });
  if (mount === undefined) return;
  await assert.rejects(openEmbedded(join(place.parent, 'ro/db')), (error) =>
    hasCode(error, 'database_directory_unusable'),
  );
});

test('a file system too small for the programs, and one too small for the data, are refused as full', async (t) => {
  for (const size of ['8m', '60m']) {
    await using place = await makePlace();
    await using mount = await mountForTest({ at: join(place.parent, 'small'), options: `size=${size}`, test: t });
    if (mount === undefined) return;
    await assert.rejects(
      openEmbedded(join(place.parent, 'small/db')),
      (error) => hasCode(error, 'database_full'),
      size,
    );
  }
});

test('a file system that fills up while it runs: told as full; with space again it goes on, and nothing committed is lost', async (t) => {
  await using place = await makePlace();
  const at = join(place.parent, 'fills');
  await using mount = await mountForTest({ at, options: 'size=160m', test: t });
  if (mount === undefined) return;
  await using database = await openEmbedded(join(at, 'db'));
  await makeNumbers(database);
  await addNumber(database, 1);
  await sql`create table ballast (content text)`.execute(database.db);
  await sql`alter table ballast alter content set storage external`.execute(database.db);
  const { bavail, bsize } = await statfs(at);
  await writeFile(join(at, 'filler'), Buffer.alloc(bavail * bsize));
  const grow = async (): Promise<void> => {
    for (let n = 0; n < 100; n += 1) await sql`insert into ballast select repeat('x', 1000000)`.execute(database.db);
  };
  await assert.rejects(grow(), (error) => hasCode(error, 'database_full', 'database_unreachable'));
  await rm(join(at, 'filler'));
  await addNumberPatiently(database, 2);
  assert.deepEqual(await readNumbers(database), [1, 2]);
});

/**
 * Queries may still meet the connection that breaks; after that they wait for the new server, which has to come within two
 * minutes on a machine with much else to do.
 */
async function addNumberPatiently(database: Parameters<typeof addNumber>[0], n: number): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await addNumber(database, n);
    } catch (error) {
      if (attempt === 600 || !hasCode(error, 'database_unreachable', 'database_full')) throw error;
      await delay(200);
    }
  }
}

async function waitForText(stream: NodeJS.ReadableStream, text: string): Promise<void> {
  let seen = '';
  for await (const piece of stream) {
    seen += String(piece);
    if (seen.includes(text)) return;
  }
  throw new Error(seen);
}
