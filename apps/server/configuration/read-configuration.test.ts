import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { temporaryDirectory } from '@holdfast/testing';
import { type Environment, isLoopback, readConfiguration } from './read-configuration.ts';

const read = (environment: Environment, file?: string) => readConfiguration({ environment, file, isRoot: true });

test('with nothing set it listens on the loopback, with TLS, in the place of its user', async () => {
  const configuration = await read({});
  assert.deepEqual(configuration.listen, { host: '127.0.0.1', port: 8443 });
  assert.deepEqual(configuration.tls, { kind: 'own', names: [] });
  assert.equal(configuration.dataDirectory, '/var/lib/holdfast');
  assert.equal(configuration.serverKeyFile, '/var/lib/holdfast/server.key');
  assert.equal(configuration.databaseUrl, undefined);
  const asUser = (environment: Environment) => readConfiguration({ environment, file: undefined, isRoot: false });
  assert.equal((await asUser({ HOME: '/home/ann' })).dataDirectory, '/home/ann/.local/share/holdfast');
  assert.equal((await asUser({ HOME: '/home/ann', XDG_DATA_HOME: '/data' })).dataDirectory, '/data/holdfast');
  await assert.rejects(asUser({}), (error) => hasCode(error, 'configuration_invalid'));
});

test('settings come from a file and from the environment, which wins', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'server.conf');
  await writeFile(file, '# where\nHOLDFAST_LISTEN=[::1]:1\nHOLDFAST_DATA_DIR="/srv/a b"\nHOLDFAST_RATE_LIMIT=7\n');
  const configuration = await read({ HOLDFAST_LISTEN: '0.0.0.0:9443', HOLDFAST_CONFIG: '/not/this/one' }, file);
  assert.deepEqual(configuration.listen, { host: '0.0.0.0', port: 9443 });
  assert.equal(configuration.dataDirectory, '/srv/a b');
  assert.equal(configuration.requestsPerMinute, 7);
  assert.deepEqual((await read({ HOLDFAST_CONFIG: file, HOLDFAST_LISTEN: '' })).listen, { host: '::1', port: 1 });
});

test('a file with a setting that does not exist, and one that is not there, are refused by name', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'server.conf');
  await writeFile(file, 'HOLDFAST_LISTEM=127.0.0.1:1\n');
  const refused = (part: RegExp) => (error: unknown) =>
    hasCode(error, 'configuration_invalid') && part.test(error.message);
  await assert.rejects(read({}, file), refused(/HOLDFAST_LISTEM/));
  await assert.rejects(read({}, join(directory.path, 'none')), refused(/none cannot be read: ENOENT/));
});

for (const [what, environment, part] of [
  ['an address without a port', { HOLDFAST_LISTEN: 'localhost' }, /HOLDFAST_LISTEN is "localhost": HOST:PORT/],
  ['a port that is none', { HOLDFAST_LISTEN: '127.0.0.1:70000' }, /HOLDFAST_LISTEN/],
  ['a relative directory', { HOLDFAST_DATA_DIR: 'data' }, /HOLDFAST_DATA_DIR is "data": an absolute path/],
  ['a certificate without a key', { HOLDFAST_TLS_CERT: '/a.pem' }, /only one is set/],
  ['TLS that is off and not', { HOLDFAST_TLS: 'off', HOLDFAST_TLS_CERT: '/a', HOLDFAST_TLS_KEY: '/b' }, /is off, but/],
  ['plain HTTP for everybody', { HOLDFAST_TLS: 'off', HOLDFAST_LISTEN: '0.0.0.0:80' }, /others could read along/],
  ['a proxy that is no address', { HOLDFAST_TRUSTED_PROXIES: '127.0.0.1, proxy' }, /"proxy"/],
  ['a network that is too narrow', { HOLDFAST_TRUSTED_PROXIES: '10.0.0.0/33' }, /10\.0\.0\.0\/33/],
  ['an email address that is none', { HOLDFAST_ADMIN_EMAIL: 'admin' }, /HOLDFAST_ADMIN_EMAIL/],
  ['a number that is none', { HOLDFAST_RATE_LIMIT: 'many' }, /HOLDFAST_RATE_LIMIT is "many"/],
  ['a level that is none', { HOLDFAST_LOG_LEVEL: 'loud' }, /HOLDFAST_LOG_LEVEL/],
  ['a public address with a path', { HOLDFAST_PUBLIC_URL: 'https://a.example/holdfast' }, /without a path/],
  ['a public address of another kind', { HOLDFAST_PUBLIC_URL: 'ftp://a.example' }, /HOLDFAST_PUBLIC_URL/],
] as const) {
  test(`${what} is refused with its name and a remedy`, async () => {
    await assert.rejects(read(environment), (error) => {
      assert.ok(hasCode(error, 'configuration_invalid'));
      assert.match(error.message, part);
      assert.equal(error.exitCode, 2);
      assert.match(error.remedy, /^[A-Za-z].*\.$/);
      return true;
    });
  });
}

test('all that is wrong is told at once, and no secret', async () => {
  const environment = { HOLDFAST_LISTEN: 'x', HOLDFAST_RATE_LIMIT: '0', DATABASE_URL: 'postgresql://u:secret@h/d' };
  await assert.rejects(read(environment), (error: Error) => {
    assert.match(error.message, /HOLDFAST_LISTEN.*HOLDFAST_RATE_LIMIT/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});

test('loopback is what only this machine reaches', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) assert.ok(isLoopback(host));
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', 'example.com', '127.0.0.1.example.com']) {
    assert.ok(!isLoopback(host));
  }
});
