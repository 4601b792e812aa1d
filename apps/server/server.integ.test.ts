/** The server as one process: first start, later starts, stopping, faults, and what is said about wrong settings. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { hasCode } from '@holdfast/base';
import { HoldfastClient } from '@holdfast/client';
import { nodeTransport } from '@holdfast/client/node';
import { apiRoot, createAccount, getHealth, listAccounts, logIn, whoAmI } from '@holdfast/contracts';
import { temporaryDirectory } from '@holdfast/testing';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { settings } from './configuration/settings.ts';
import { connectTo, type Environment, program, type ServerProcess, startServer } from './server-process-fixture.ts';

let databases: DatabaseServer;
before(async () => {
  databases = await startDatabaseServer();
});
after(() => databases[Symbol.asyncDispose]());

const run = promisify(execFile);

/** A place that the user of the embedded database can get through. */
async function place() {
  const directory = await temporaryDirectory();
  await chmod(directory.path, 0o755);
  const data = join(directory.path, 'data');
  const environment: Environment = { HOLDFAST_DATA_DIR: data, HOLDFAST_LISTEN: '127.0.0.1:0' };
  return { ...directory, data, environment, path: directory.path };
}

async function logInTo(server: ServerProcess, email: string, password: string): Promise<number> {
  using connection = await connectTo(server);
  const body = JSON.stringify({ email, password });
  const headers = { 'content-type': 'application/json' };
  const url = `${connection.url}${apiRoot}${logIn.path}`;
  const response = await connection.transport({ method: 'POST', url, headers, body, signal: undefined });
  for await (const _part of response.body);
  return response.status;
}

test('the first start makes everything, prints the password once, and the next start finds it all', async () => {
  await using where = await place();
  const { data, environment } = where;
  let administrator: Readonly<Record<string, unknown>>;
  {
    await using server = startServer(environment);
    administrator = await server.told('administrator');
    const ready = await server.told('ready');
    assert.match(String(ready['url']), /^https:\/\/127\.0\.0\.1:\d+$/);
    using connection = await connectTo(server);
    assert.equal((await connection.client.call(getHealth, {})).answer.status, 'ok');
    assert.equal(await logInTo(server, String(administrator['email']), String(administrator['password'])), 201);
    const { code, stdout, stderr } = await server.stop();
    assert.equal(code, 0, stderr);
    assert.equal(stdout.split(String(administrator['password'])).length, 2);
    assert.ok(!stderr.includes(String(administrator['password'])));
  }
  for (const name of await readdir(join(data, 'tls'))) {
    const { mode } = await stat(join(data, 'tls', name));
    assert.ok(name === 'ca.crt' || (mode & 0o077) === 0, `${name} has mode ${mode.toString(8)}`);
  }
  assert.equal((await stat(join(data, 'server.key'))).mode & 0o777, 0o600);
  const ca = await readFile(join(data, 'tls/ca.crt'), 'utf8');
  {
    await using server = startServer(environment);
    await server.told('ready');
    assert.equal(await logInTo(server, String(administrator['email']), String(administrator['password'])), 201);
    const { stdout } = await server.stop('SIGINT');
    assert.ok(!stdout.includes('"administrator"'));
  }
  assert.equal(await readFile(join(data, 'tls/ca.crt'), 'utf8'), ca);
});

test('the first answer comes within 5 s of the first start, and within 2 s of later ones', async () => {
  const answered = async (environment: Environment): Promise<number> => {
    const startedMs = performance.now();
    await using server = startServer(environment);
    using connection = await connectTo(server);
    await connection.client.call(getHealth, {});
    const tookMs = performance.now() - startedMs;
    await server.stop();
    return tookMs;
  };
  const took: string[] = [];
  // Other tests run beside this one: it is enough to be as quick once.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await using where = await place();
    const [first, later] = [await answered(where.environment), await answered(where.environment)];
    if (first < 5000 && later < 2000) return;
    took.push(`${Math.round(first)} and ${Math.round(later)} ms`);
  }
  assert.fail(`it took ${took.join(', ')}`);
});

test('after kill -9 the next start answers, with what was there; nothing of the dead one is left running', async () => {
  await using where = await place();
  const tokenOf = async (server: ServerProcess, password: string) => {
    using connection = await connectTo(server);
    const headers = { 'content-type': 'application/json' };
    const post = async (path: string, body: object, cookie?: string) => {
      const response = await connection.transport({
        method: 'POST',
        url: `${connection.url}${apiRoot}${path}`,
        headers: { ...headers, ...(cookie !== undefined && { cookie }) },
        body: JSON.stringify(body),
        signal: undefined,
      });
      let text = '';
      for await (const part of response.body) text += Buffer.from(part).toString();
      return { text, cookie: response.header('set-cookie')?.split(';', 1)[0] };
    };
    const { cookie } = await post('/session', { email: 'admin@holdfast.local', password });
    const { text } = await post('/api-tokens', { name: 't', scopes: ['accounts:read', 'accounts:write'] }, cookie);
    return (JSON.parse(text) as { token: string }).token;
  };
  let token = '';
  let made = 0;
  for (let round = 0; round < 3; round += 1) {
    await using server = startServer(where.environment);
    if (round === 0) token = await tokenOf(server, String((await server.told('administrator'))['password']));
    using connection = await connectTo(server, token);
    const { client } = connection;
    assert.equal(
      (await client.call(listAccounts, { query: { count: 'true', limit: 1 } })).answer.count! >= made + 1,
      true,
    );
    for (let count = 0; count < 5; count += 1) {
      await client.call(createAccount, { body: { name: `round ${round}` } });
      made += 1;
    }
    // Killed while it works.
    const working = Promise.allSettled(
      Array.from({ length: 10 }, () => client.call(createAccount, { body: { name: 'perhaps' } })),
    );
    await server.stop('SIGKILL');
    await working;
  }
  // The kernel ends PostgreSQL with the server; on a busy machine that takes a moment.
  let left: readonly string[] = [];
  for (let turn = 0; turn < 100; turn += 1) {
    const { stdout } = await run('ps', ['-eo', 'args']);
    left = stdout.split('\n').filter((line) => line.includes(where.data) && !line.startsWith('ps '));
    if (left.length === 0) break;
    await delay(100);
  }
  assert.deepEqual(left, []);
});

test('a database of somebody else is used, and its password shows nowhere', async () => {
  await using where = await place();
  await using database = await databases.makeDatabase({ empty: true });
  await using server = startServer({ ...where.environment, DATABASE_URL: database.url });
  const ready = await server.told('ready');
  assert.match(String(ready['database']), /^postgresql:\/\//);
  using connection = await connectTo(server);
  assert.equal((await connection.client.call(getHealth, {})).answer.status, 'ok');
  assert.deepEqual((await readdir(where.data)).toSorted(), ['server.key', 'tls']);
  await server.stop();
});

test('two servers on one database with one key: what one makes the other has', async () => {
  await using where = await place();
  await using database = await databases.makeDatabase({ empty: true });
  const shared = { DATABASE_URL: database.url, HOLDFAST_SERVER_KEY_FILE: join(where.path, 'shared.key') };
  await using first = startServer({ ...where.environment, ...shared });
  await using second = startServer({ ...where.environment, ...shared, HOLDFAST_DATA_DIR: join(where.path, 'second') });
  const told = await Promise.all([first.told('ready'), second.told('ready')]);
  assert.equal(told.length, 2);
  const made = await Promise.race([first.told('administrator'), second.told('administrator')]);
  for (const server of [first, second]) {
    assert.equal(await logInTo(server, String(made['email']), String(made['password'])), 201);
  }
  const ends = await Promise.all([first.stop(), second.stop()]);
  assert.equal(ends.filter(({ stdout }) => stdout.includes('"administrator"')).length, 1);
  await using stranger = startServer({ ...where.environment, DATABASE_URL: database.url });
  const { code, stderr } = await stranger.ended;
  assert.equal(code, 1);
  assert.match(stderr, /code: server_key_wrong/);
});

test('the certificate names where it listens, and its CA signs it anew when names change', async () => {
  await using where = await place();
  const certificate = async (environment: Environment) => {
    await using server = startServer({ ...where.environment, ...environment });
    await server.told('ready');
    using connection = await connectTo(server);
    await connection.client.call(getHealth, {});
    await server.stop();
    const pem = await readFile(join(where.data, 'tls/server.pem'), 'utf8');
    return { pem, parsed: new X509Certificate(pem.slice(pem.indexOf('-----BEGIN CERTIFICATE-----'))) };
  };
  const first = await certificate({});
  const ca = new X509Certificate(await readFile(join(where.data, 'tls/ca.crt'), 'utf8'));
  assert.ok(ca.ca && !first.parsed.ca && first.parsed.verify(ca.publicKey));
  assert.ok(first.parsed.checkIP('127.0.0.1') && first.parsed.checkHost('localhost'));
  assert.equal((await certificate({})).pem, first.pem, 'the same names, the same certificate');
  const more = { HOLDFAST_TLS_NAMES: 'backup.example.com, 192.0.2.7', HOLDFAST_PUBLIC_URL: 'https://localhost:1' };
  await using server = startServer({ ...where.environment, ...more });
  assert.equal((await server.told('ready'))['url'], 'https://localhost:1');
  await server.stop();
  const pem = await readFile(join(where.data, 'tls/server.pem'), 'utf8');
  const renewed = new X509Certificate(pem.slice(pem.indexOf('-----BEGIN CERTIFICATE-----')));
  assert.ok(renewed.checkHost('backup.example.com') && renewed.checkIP('192.0.2.7') && renewed.verify(ca.publicKey));
  await run('openssl', [
    'verify',
    '-x509_strict',
    '-CAfile',
    join(where.data, 'tls/ca.crt'),
    join(where.data, 'tls/server.pem'),
  ]);
});

test('a certificate of one’s own is used, and what is wrong with it is said', async () => {
  await using where = await place();
  const make = (name: string) =>
    run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-days', '30'],
      ...['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', join(where.path, `${name}.key`), '-out', join(where.path, `${name}.crt`)],
    ]);
  await Promise.all([make('one'), make('two')]);
  const files = (cert: string, key: string) => ({
    ...where.environment,
    HOLDFAST_TLS_CERT: join(where.path, cert),
    HOLDFAST_TLS_KEY: join(where.path, key),
  });
  await using server = startServer(files('one.crt', 'one.key'));
  const { url, ca_file } = await server.told('ready');
  assert.equal(ca_file, undefined);
  using transport = nodeTransport({ ca: await readFile(join(where.path, 'one.crt'), 'utf8') });
  const client = new HoldfastClient({ server: String(url), transport });
  assert.equal((await client.call(getHealth, {})).answer.status, 'ok');
  await server.stop();
  await writeFile(join(where.path, 'empty'), '');
  for (const [cert, key, part] of [
    ['one.crt', 'two.key', /does not belong to/],
    ['one.crt', 'empty', /holds no key/],
    ['one.key', 'one.key', /holds no certificate/],
    ['none', 'one.key', /none cannot be read: ENOENT/],
  ] as const) {
    const { code, stderr } = await startServer(files(cert, key)).ended;
    assert.equal(code, 1);
    assert.match(stderr, part);
    assert.match(stderr, /code: certificate_invalid/);
  }
});

test('requests that run are answered when the server stops', async () => {
  await using where = await place();
  await using server = startServer(where.environment);
  const { password } = await server.told('administrator');
  using connection = await connectTo(server);
  await connection.client.call(getHealth, {});
  // Signing in hashes for some 40 ms; the server is told to stop within them.
  const logins = Array.from({ length: 4 }, () => logInTo(server, 'admin@holdfast.local', String(password)));
  await delay(60);
  const startedMs = performance.now();
  const ended = server.stop();
  const statuses = await Promise.allSettled(logins);
  const { code, stderr } = await ended;
  assert.equal(code, 0, stderr);
  assert.ok(performance.now() - startedMs < 5000);
  assert.ok(statuses.some((result) => result.status === 'fulfilled' && result.value === 201));
});

test('a client that keeps its connection open does not keep the server from stopping', async () => {
  await using where = await place();
  await using server = startServer({ ...where.environment, HOLDFAST_TLS: 'off' });
  const { url } = await server.told('ready');
  const socket = connect(Number(new URL(String(url)).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET /api/v1/health HTTP/1.1\r\nhost: x\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  const startedMs = performance.now();
  assert.equal((await server.stop()).code, 0);
  assert.ok(performance.now() - startedMs < 3000);
  socket.destroy();
});

test('settings that are wrong, ports that are taken and words that are none end it with code and remedy', async () => {
  await using where = await place();
  await using running = startServer({ ...where.environment, HOLDFAST_TLS: 'off' });
  const { port } = new URL(String((await running.told('ready'))['url']));
  await using database = await databases.makeDatabase({ empty: true });
  const other = { HOLDFAST_DATA_DIR: join(where.path, 'other'), DATABASE_URL: database.url, HOLDFAST_TLS: 'off' };
  await writeFile(join(where.path, 'short'), 'short\n');
  await writeFile(join(where.path, 'file'), '');
  for (const [environment, words, exit, code] of [
    [{ HOLDFAST_LISTEN: 'here' }, [], 2, 'configuration_invalid'],
    [{ ...other, HOLDFAST_LISTEN: `127.0.0.1:${port}` }, [], 1, 'address_in_use'],
    [{ ...other, HOLDFAST_LISTEN: '192.0.2.1:0', HOLDFAST_TLS: 'on' }, [], 2, 'configuration_invalid'],
    [where.environment, [], 1, 'database_busy'],
    [{ ...other, DATABASE_URL: 'mysql://a/b' }, [], 2, 'database_url_invalid'],
    [{ ...other, HOLDFAST_ADMIN_PASSWORD_FILE: join(where.path, 'short') }, [], 2, 'configuration_invalid'],
    [{ ...other, HOLDFAST_DATA_DIR: join(where.path, 'file') }, [], 2, 'configuration_invalid'],
    [{ ...other, HOLDFAST_SERVER_KEY_FILE: join(where.path, 'short') }, [], 2, 'configuration_invalid'],
    [where.environment, ['--nonsense'], 2, 'usage'],
    [where.environment, ['nonsense'], 2, 'usage'],
    [where.environment, ['database'], 2, 'usage'],
    [where.environment, ['database', 'export'], 2, 'usage'],
    [where.environment, ['database', 'status', 'file'], 2, 'usage'],
    [where.environment, ['database', 'import', 'a', 'b'], 2, 'usage'],
    [where.environment, ['--config', join(where.path, 'none')], 2, 'configuration_invalid'],
  ] as const) {
    const { code: exitCode, stderr, stdout } = await startServer(environment, words).ended;
    assert.equal(exitCode, exit, stderr);
    assert.match(stderr, new RegExp(`^code: ${code}$`, 'm'));
    assert.match(stderr, /^remedy: \S.*\.$/m);
    assert.match(stdout, new RegExp(`"code":"${code}"`));
  }
  await running.stop();
});

test('the password of the first administrator may come from a file', async () => {
  await using where = await place();
  await writeFile(join(where.path, 'password'), 'a password from a file\nand a note\n', { mode: 0o600 });
  const environment = { ...where.environment, HOLDFAST_ADMIN_PASSWORD_FILE: join(where.path, 'password') };
  await using server = startServer({ ...environment, HOLDFAST_ADMIN_EMAIL: 'Root@Example.com' });
  const { email, password } = await server.told('administrator');
  assert.deepEqual([email, password], ['root@example.com', undefined]);
  assert.equal(await logInTo(server, 'root@example.com', 'a password from a file'), 201);
  await server.stop();
});

test('whoever runs the machine gets back in with a new password', async () => {
  await using where = await place();
  const email = 'admin@holdfast.local';
  let old: string;
  {
    await using server = startServer(where.environment);
    old = String((await server.told('administrator'))['password']);
    await server.told('ready');
    const { code, stderr } = await startServer(where.environment, ['--reset-password', email]).ended;
    assert.equal(code, 1);
    assert.match(stderr, /code: database_busy/);
    await server.stop();
  }
  assert.match(
    (await startServer(where.environment, ['--reset-password', 'no@body.example']).ended).stderr,
    /user_not_found/,
  );
  const reset = startServer(where.environment, ['--reset-password', 'Admin@Holdfast.local']);
  const password = String((await reset.told('result'))['password']);
  assert.equal((await reset.ended).code, 0);
  await using server = startServer(where.environment);
  assert.equal(await logInTo(server, email, old), 401);
  assert.equal(await logInTo(server, email, password), 201);
  await server.stop();
});

test('the database is exported while its server runs, and imported into another, where everybody gets in', async () => {
  await using where = await place();
  const file = join(where.path, 'export');
  let password: string;
  {
    await using server = startServer(where.environment);
    password = String((await server.told('administrator'))['password']);
    await server.told('ready');
    const status = startServer(where.environment, ['database', 'status']);
    const { step, newest_step: newest, server_version: version } = await status.told('result');
    assert.equal(step, newest);
    assert.match(String(version), /^18\./);
    const exported = startServer(where.environment, ['database', 'export', file]);
    assert.ok(Number((await exported.told('result'))['rows']) > 0);
    assert.equal((await exported.ended).code, 0);
    await server.stop();
  }
  await using other = await place();
  const key = { HOLDFAST_SERVER_KEY_FILE: join(where.data, 'server.key') };
  const environment = { ...other.environment, ...key };
  assert.match(
    (await startServer(environment, ['database', 'export', `${file}-2`]).ended).stderr,
    /code: database_directory_unusable/,
  );
  const imported = startServer(environment, ['database', 'import', file]);
  const end = await imported.ended;
  assert.equal(end.code, 0, end.stderr);
  assert.match((await startServer(environment, ['database', 'import', file]).ended).stderr, /code: database_not_empty/);
  await using server = startServer(environment);
  await server.told('ready');
  assert.equal(await logInTo(server, 'admin@holdfast.local', password), 201);
  const { stdout } = await server.stop();
  assert.ok(!stdout.includes('"administrator"'));
});

test('a client without the CA is not fooled, one without a server is told', async () => {
  await using where = await place();
  await using server = startServer(where.environment);
  const { url } = await server.told('ready');
  using transport = nodeTransport();
  const client = new HoldfastClient({ server: String(url), transport });
  await assert.rejects(client.call(getHealth, {}), (error) => hasCode(error, 'server_unreachable'));
  using connection = await connectTo(server);
  await assert.rejects(connection.client.call(whoAmI, {}), (error) => hasCode(error, 'unauthenticated'));
  await server.stop();
  await assert.rejects(connection.client.call(getHealth, {}), (error) => hasCode(error, 'server_unreachable'));
});

test('help tells every setting', async () => {
  const { stdout } = await run(program, ['server', '--help']);
  const page = await readFile(join(import.meta.dirname, '../../docs/server.md'), 'utf8');
  for (const name of Object.keys(settings)) {
    assert.match(stdout, new RegExp(`^  ${name}$`, 'm'));
    assert.ok(page.includes(`\`${name}\``), `docs/server.md does not tell of ${name}`);
  }
});
