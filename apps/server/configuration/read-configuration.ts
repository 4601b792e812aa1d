/**
 * The configuration of a server: settings of a file, and of the environment, which wins. The file is written as the
 * environment is: NAME=VALUE a line, # for comments. Everything that is wrong is told at once, by name.
 */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import { type Setting, type SettingName, settings, type SettingValues } from './settings.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export type Configuration = {
  /** Absolute. */
  readonly dataDirectory: string;
  readonly listen: { readonly host: string; readonly port: number };
  readonly publicUrl: string | undefined;
  readonly tls:
    | { readonly kind: 'off' }
    | { readonly kind: 'own'; readonly names: readonly string[] }
    | { readonly kind: 'files'; readonly certFile: string; readonly keyFile: string };
  readonly trustedProxies: readonly string[];
  /** Undefined: embedded. */
  readonly databaseUrl: string | undefined;
  readonly databaseConnections: number;
  readonly serverKeyFile: string;
  readonly adminEmail: string;
  readonly adminPasswordFile: string | undefined;
  readonly requestsPerMinute: number;
  readonly logLevel: SettingValues['HOLDFAST_LOG_LEVEL'];
};

/** @throws configuration_invalid */
export async function readConfiguration(options: {
  readonly environment: Environment;
  /** Undefined: `HOLDFAST_CONFIG`, or none. */
  readonly file: string | undefined;
  readonly isRoot: boolean;
}): Promise<Configuration> {
  const { environment, isRoot } = options;
  const file = options.file ?? nonEmpty(environment['HOLDFAST_CONFIG']);
  const written = file === undefined ? {} : await readSettingsFile(file);
  const values = parseSettings({ environment, written, file });
  const dataDirectory = values.HOLDFAST_DATA_DIR ?? standardDataDirectory(environment, isRoot);
  const configuration: Configuration = {
    dataDirectory,
    listen: values.HOLDFAST_LISTEN,
    publicUrl: values.HOLDFAST_PUBLIC_URL,
    tls: tlsOf(values),
    trustedProxies: values.HOLDFAST_TRUSTED_PROXIES,
    databaseUrl: values.DATABASE_URL,
    databaseConnections: values.HOLDFAST_DATABASE_CONNECTIONS,
    serverKeyFile: values.HOLDFAST_SERVER_KEY_FILE ?? join(dataDirectory, 'server.key'),
    adminEmail: values.HOLDFAST_ADMIN_EMAIL,
    adminPasswordFile: values.HOLDFAST_ADMIN_PASSWORD_FILE,
    requestsPerMinute: values.HOLDFAST_RATE_LIMIT,
    logLevel: values.HOLDFAST_LOG_LEVEL,
  };
  refuseOpenPasswords(configuration);
  refuseStrangeProxies(configuration);
  return configuration;
}

async function readSettingsFile(file: string): Promise<Environment> {
  try {
    const written = parseEnv(await readFile(file, 'utf8'));
    const unknown = Object.keys(written).filter((name) => !isSetting(name));
    if (unknown.length === 0) return written;
    throw new HoldfastError('configuration_invalid', `${file}: there is no setting ${unknown.join(', no ')}.`, {
      remedy: 'holdfast server --help lists the settings.',
    });
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof HoldfastError || code === undefined) throw error;
    throw new HoldfastError('configuration_invalid', `The file ${file} cannot be read: ${code}.`, {
      cause: error,
      remedy: 'Name a file that this user may read, or leave --config and HOLDFAST_CONFIG out.',
    });
  }
}

function parseSettings(sources: {
  readonly environment: Environment;
  readonly written: Environment;
  readonly file: string | undefined;
}): SettingValues {
  const { environment, written, file } = sources;
  const wrong: string[] = [];
  const values = Object.entries<Setting>(settings).map(([name, { schema, isSecret }]) => {
    const fromEnvironment = nonEmpty(environment[name]);
    const text = fromEnvironment ?? nonEmpty(written[name]);
    const parsed = schema.safeParse(text);
    if (!parsed.success) {
      const place = fromEnvironment === undefined ? `${name} in ${file}` : name;
      const shown = isSecret ? '' : ` ${JSON.stringify(text)}`;
      wrong.push(`${place} is${shown}: ${parsed.error.issues.map(({ message }) => message).join(', ')}`);
    }
    return [name, parsed.data];
  });
  // Each was parsed by the schema of its name.
  if (wrong.length === 0) return Object.fromEntries(values) as SettingValues;
  throw new HoldfastError('configuration_invalid', `${wrong.join('. ')}.`);
}

function tlsOf(values: SettingValues): Configuration['tls'] {
  const { HOLDFAST_TLS: tls, HOLDFAST_TLS_CERT: certFile, HOLDFAST_TLS_KEY: keyFile } = values;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new HoldfastError('configuration_invalid', 'Of HOLDFAST_TLS_CERT and HOLDFAST_TLS_KEY only one is set.', {
      remedy: 'Set both, or neither for a certificate of an own CA.',
    });
  }
  if (tls === 'off') {
    if (certFile === undefined) return { kind: 'off' };
    throw new HoldfastError('configuration_invalid', 'HOLDFAST_TLS is off, but there is a HOLDFAST_TLS_CERT.', {
      remedy: 'Leave one of them out.',
    });
  }
  if (certFile !== undefined && keyFile !== undefined) return { kind: 'files', certFile, keyFile };
  return { kind: 'own', names: values.HOLDFAST_TLS_NAMES };
}

/** Passwords and tokens do not go over a network in the clear. */
function refuseOpenPasswords({ tls, listen }: Configuration): void {
  if (tls.kind !== 'off' || isLoopback(listen.host)) return;
  const detail = `Without TLS the server would listen at ${listen.host}, where others could read along.`;
  throw new HoldfastError('configuration_invalid', detail, {
    remedy: 'Listen at 127.0.0.1 behind a proxy on this machine, or leave HOLDFAST_TLS=off out.',
  });
}

function refuseStrangeProxies({ trustedProxies }: Configuration): void {
  const strange = trustedProxies.find((proxy) => {
    const [ip = '', bits] = proxy.split('/');
    const version = isIP(ip);
    return (
      version === 0 || (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)))
    );
  });
  if (strange === undefined) return;
  throw new HoldfastError('configuration_invalid', `HOLDFAST_TRUSTED_PROXIES has ${JSON.stringify(strange)}.`, {
    remedy: 'Use addresses and networks, such as 127.0.0.1,10.0.0.0/8.',
  });
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function standardDataDirectory(environment: Environment, isRoot: boolean): string {
  if (isRoot) return '/var/lib/holdfast';
  const share = nonEmpty(environment['XDG_DATA_HOME']);
  const home = nonEmpty(environment['HOME']);
  const place = share ?? (home === undefined ? undefined : join(home, '.local/share'));
  if (place?.startsWith('/')) return join(place, 'holdfast');
  throw new HoldfastError('configuration_invalid', 'Neither HOLDFAST_DATA_DIR nor HOME says where to keep data.', {
    remedy: 'Set HOLDFAST_DATA_DIR to an absolute path.',
  });
}

function isSetting(name: string): name is SettingName {
  return Object.hasOwn(settings, name);
}

/** NAME= is as good as none, as in a shell. */
function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
