/** Every setting of the server, once: read by these schemas, told about in `--help` and docs/server.md. */
import { isAbsolute } from 'node:path';
import { email } from '@holdfast/contracts';
import { z } from 'zod';

/** Where a server listens: `127.0.0.1:8443`, `[::1]:8443`, `0.0.0.0:8443`. Port 0 takes one that is free. */
const address = z.string().transform((text, context) => {
  const found = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(found?.[3]);
  if (found && port <= 65_535) return { host: (found[1] ?? found[2])!, port };
  context.addIssue({ code: 'custom', message: 'HOST:PORT, such as 127.0.0.1:8443 or [::1]:8443' });
  return z.NEVER;
});

const absolutePath = z.string().refine(isAbsolute, 'an absolute path');

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);

/** A browser's address of the server: nothing behind the host. */
const origin = z
  .url({ protocol: /^https?$/ })
  .refine((text) => new URL(text).origin === text.replace(/\/$/, ''), 'an address without a path')
  .transform((text) => new URL(text).origin);

export type Setting = {
  /** One line, no full stop at the end. */
  readonly summary: string;
  /** As a person would write it; undefined when there is none. */
  readonly standard: string | undefined;
  readonly schema: z.ZodType;
  /** Its value is never shown. */
  readonly isSecret?: true;
};

export const settings = {
  HOLDFAST_DATA_DIR: {
    summary: 'Where the server keeps its database, keys and certificates',
    standard: '/var/lib/holdfast for root, otherwise ~/.local/share/holdfast',
    schema: absolutePath.optional(),
  },
  HOLDFAST_LISTEN: {
    summary: 'Address and port to listen at',
    standard: '127.0.0.1:8443',
    schema: address.prefault('127.0.0.1:8443'),
  },
  HOLDFAST_PUBLIC_URL: {
    summary: 'How browsers and agents reach the server, when it is not where it listens: https://backup.example.com',
    standard: undefined,
    schema: origin.optional(),
  },
  HOLDFAST_TLS: {
    summary: 'on: with the certificate named, or one of an own CA; off: plain HTTP, for a proxy on this machine',
    standard: 'on',
    schema: z.enum(['on', 'off']).default('on'),
  },
  HOLDFAST_TLS_CERT: {
    summary: 'PEM file of a certificate of yours, with its chain',
    standard: 'an own CA is made at the first start',
    schema: absolutePath.optional(),
  },
  HOLDFAST_TLS_KEY: {
    summary: 'PEM file of its key',
    standard: undefined,
    schema: absolutePath.optional(),
  },
  HOLDFAST_TLS_NAMES: {
    summary: 'More names and addresses for the certificate of the own CA, with commas between',
    standard: undefined,
    schema: list.prefault(''),
  },
  HOLDFAST_TRUSTED_PROXIES: {
    summary: 'Addresses or networks of proxies whose X-Forwarded-For is believed, with commas between',
    standard: undefined,
    schema: list.prefault(''),
  },
  DATABASE_URL: {
    summary: 'PostgreSQL 15 or newer to use: postgresql://USER:PASSWORD@HOST:PORT/NAME',
    standard: 'an embedded PostgreSQL in the data directory',
    schema: z.string().optional(),
    isSecret: true,
  },
  HOLDFAST_DATABASE_CONNECTIONS: {
    summary: 'Connections to the database, at most',
    standard: '10',
    schema: z.coerce.number().int().min(2).max(1000).default(10),
  },
  HOLDFAST_SERVER_KEY_FILE: {
    summary: 'Key that secrets in the database are sealed with; servers that share a database share it',
    standard: 'server.key in the data directory, made at the first start',
    schema: absolutePath.optional(),
  },
  HOLDFAST_ADMIN_EMAIL: {
    summary: 'Email address of the administrator that the first start makes',
    standard: 'admin@holdfast.local',
    schema: email.prefault('admin@holdfast.local'),
  },
  HOLDFAST_ADMIN_PASSWORD_FILE: {
    summary: 'File with the password of that administrator',
    standard: 'one is made up and printed, once',
    schema: absolutePath.optional(),
  },
  HOLDFAST_RATE_LIMIT: {
    summary: 'Requests a minute that one client address may send',
    standard: '30000',
    schema: z.coerce.number().int().min(1).max(10_000_000).default(30_000),
  },
  HOLDFAST_LOG_LEVEL: {
    summary: 'What is written to stderr: error, warn, info or debug',
    standard: 'info',
    schema: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof settings;

export type SettingValues = { readonly [Name in SettingName]: z.output<(typeof settings)[Name]['schema']> };
