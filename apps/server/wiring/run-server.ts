/** From a configuration to a server that answers, until it is told to stop. */
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { type Api, buildApi } from '@holdfast/api';
import { type Clock, HoldfastError, systemErrorCode } from '@holdfast/base';
import { newPassword } from '@holdfast/contracts';
import { type Database, migrate, openDatabase, openDatabaseClock } from '@holdfast/database';
import { bootstrapAdministrator, PasswordHasher, Seal } from '@holdfast/domain';
import type { Logger } from 'pino';
import type { Configuration } from '../configuration/read-configuration.ts';
import { checkServerKey, readServerKey } from '../configuration/server-key.ts';
import { type ChosenCertificate, chooseCertificate } from '../tls/choose-certificate.ts';
import { makeDataDirectory } from './data-directory.ts';
import { placeOf } from './database-place.ts';
import type { Voice } from './say.ts';

export type RunOptions = {
  readonly configuration: Configuration;
  readonly version: string;
  readonly voice: Voice;
  readonly log: Logger;
  /** Of this process. */
  readonly clock: Clock;
  /** Aborted when it shall stop. */
  readonly signal: AbortSignal;
};

/** Requests that are being answered get this long when the server stops. */
const stopLimitMs = 10_000;
/** How often it looks whether its certificate is still good. */
const certificateCheckMs = 24 * 60 * 60_000;

/** Resolves once it has stopped. @throws what starting fails with */
export async function runServer(options: RunOptions): Promise<void> {
  const { configuration, version, voice, log, signal } = options;
  const startedMs = options.clock.monotonicMs();
  await makeDataDirectory(configuration.dataDirectory);
  // Beside the start of the database: each takes some tenths of a second, the first time.
  const choosing = chooseCertificate(configuration, options.clock);
  choosing.catch(() => undefined);
  const key = await readServerKey(configuration.serverKeyFile);
  await using database = await openDatabase({
    place: placeOf(configuration),
    connections: configuration.databaseConnections,
    log: (line) => log.debug({ source: 'database' }, line),
  });
  const steps = await migrate(database);
  if (steps > 0) log.info({ steps }, 'the schema of the database was brought up to date');
  using clock = await openDatabaseClock({ db: database.db, clock: options.clock });
  await checkServerKey({ db: database.db, clock, key });
  const hasher = new PasswordHasher();
  const administrator = await bootstrapAdministrator({
    db: database.db,
    clock,
    hasher,
    email: configuration.adminEmail,
    password: await givenPassword(configuration.adminPasswordFile),
  });
  // At once: whatever fails from here on, the password would be lost.
  if (administrator) tellAdministrator(voice, administrator);
  const certificate = await choosing;
  const app = await buildApi({
    services: { database, clock, hasher, seal: new Seal(key), version },
    tls: certificate,
    isSecure: certificate !== undefined || (configuration.publicUrl?.startsWith('https:') ?? false),
    isCertificateKnown: certificate !== undefined && certificate.authority === undefined,
    trustedProxies: configuration.trustedProxies,
    requestsPerMinute: configuration.requestsPerMinute,
    log,
  });
  await using _app = { [Symbol.asyncDispose]: () => stop(app, log) };
  const url = await listen(app, configuration, certificate);
  tellReady(options, { url, certificate, database, startupMs: options.clock.monotonicMs() - startedMs });
  using _renewal = keepCertificate({ app, configuration, log, clock });
  await untilAborted(signal);
  log.info({ reason: String(signal.reason instanceof Error ? signal.reason.message : signal.reason) }, 'stopping');
}

/** @throws configuration_invalid */
async function givenPassword(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    const [line = ''] = (await readFile(file, 'utf8')).split(/\r?\n/, 1);
    const parsed = newPassword.safeParse(line);
    if (parsed.success) return parsed.data;
    const messages = parsed.error.issues.map(({ message }) => message).join(' ');
    throw new HoldfastError('configuration_invalid', `The password in ${file} cannot be used: ${messages}`, {
      remedy: 'The first line of the file is the password.',
    });
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof HoldfastError || code === undefined) throw error;
    throw new HoldfastError('configuration_invalid', `HOLDFAST_ADMIN_PASSWORD_FILE ${file} cannot be read: ${code}.`, {
      cause: error,
    });
  }
}

/** @throws address_in_use configuration_invalid. @returns how the server is reached */
async function listen(
  app: Api,
  { listen: address, publicUrl }: Configuration,
  certificate: ChosenCertificate | undefined,
): Promise<string> {
  const { host, port } = address;
  const shown = host.includes(':') ? `[${host}]` : host;
  try {
    await app.listen({ host, port });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EADDRINUSE') {
      throw new HoldfastError('address_in_use', `Something listens at ${shown}:${port} already.`, { cause: error });
    }
    throw new HoldfastError('configuration_invalid', `The server cannot listen at ${shown}:${port}: ${code}.`, {
      cause: error,
      remedy: 'Set HOLDFAST_LISTEN to an address of this machine and a port that this user may use.',
    });
  }
  const taken = app.server.address();
  const actual = typeof taken === 'object' && taken !== null ? taken.port : port;
  return publicUrl ?? `${certificate ? 'https' : 'http'}://${shown}:${actual}`;
}

function tellAdministrator(
  voice: Voice,
  { email, password }: { readonly email: string; readonly password: string | undefined },
): void {
  const told = password === undefined ? 'password: the one in HOLDFAST_ADMIN_PASSWORD_FILE' : `password: ${password}`;
  const once = password === undefined ? '' : '\nThis is the only time that it is shown.';
  voice.say(
    'administrator',
    { email, ...(password !== undefined && { password }) },
    `The first administrator was made.\n  email:    ${email}\n  ${told}${once}`,
  );
}

type Ready = {
  readonly url: string;
  readonly certificate: ChosenCertificate | undefined;
  readonly database: Database;
  readonly startupMs: number;
};

function tellReady({ voice, version, log }: RunOptions, { url, certificate, database, startupMs }: Ready): void {
  const authority = certificate?.authority;
  const about = authority ? `\n  certificate authority: ${authority.file}\n  its SHA-256: ${authority.sha256}` : '';
  voice.say(
    'ready',
    {
      url,
      version,
      database: database.description,
      database_version: database.serverVersion,
      ...(authority && { ca_file: authority.file, ca_sha256: authority.sha256 }),
      startup_ms: Math.round(startupMs),
    },
    `Holdfast ${version} answers at ${url}${about}`,
  );
  const endsMs = certificate?.endsMs;
  if (endsMs !== undefined && endsMs < Date.now()) log.error('the certificate has expired; browsers refuse it');
}

/** Renews what the own CA has made, and takes up files that were replaced. */
function keepCertificate(request: {
  readonly app: Api;
  readonly configuration: Configuration;
  readonly log: Logger;
  readonly clock: Clock;
}): Disposable {
  const { app, configuration, log, clock } = request;
  const timer = setInterval(() => {
    chooseCertificate(configuration, clock).then(
      (certificate) => {
        if (certificate && 'setSecureContext' in app.server) {
          (app.server as Server).setSecureContext({ cert: certificate.cert, key: certificate.key });
        }
      },
      (error: unknown) => log.error({ err: error }, 'the certificate could not be looked at; the one in use stays'),
    );
  }, certificateCheckMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function stop(app: Api, log: Logger): Promise<void> {
  const limit = new AbortController();
  const cut = delay(stopLimitMs, undefined, { signal: limit.signal }).then(
    () => {
      log.warn('requests were cut off: they took longer than the server waits for when it stops');
      app.server.closeAllConnections();
    },
    () => undefined,
  );
  await app.close();
  limit.abort();
  await cut;
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
