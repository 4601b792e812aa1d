/**
 * A certificate authority of the server's own, so that the first start already speaks TLS and agents can know for sure
 * whom they talk to. Made by openssl, which every Debian has. Below one directory:
 *
 *   ca.crt      to be given to clients and agents; good for 20 years
 *   ca.key      never leaves this directory
 *   server.pem  key and certificate of the server, made anew when names change and a month before it ends
 */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Clock, HoldfastError, systemErrorCode } from '@holdfast/base';

export type ServerCertificate = {
  /** PEM, with the chain. */
  readonly cert: string;
  readonly key: string;
};

export type OwnCertificate = ServerCertificate & { readonly caFile: string; readonly ca: X509Certificate };

const caDays = 20 * 365;
/** Apple's systems refuse certificates that are good for more than 825 days. */
const serverDays = 397;
const renewBeforeMs = 30 * 24 * 60 * 60_000;

/** @param names that the certificate has to be good for, addresses too. @throws certificate_invalid */
export async function ownCertificate(request: {
  readonly directory: string;
  readonly names: readonly string[];
  readonly clock: Clock;
}): Promise<OwnCertificate> {
  const { directory, clock } = request;
  const names = [...new Set(request.names)];
  const strange = names.find(
    (name) => isIP(name) === 0 && !/^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(name),
  );
  if (strange !== undefined) {
    throw new HoldfastError('certificate_invalid', `${JSON.stringify(strange)} is no name for a certificate.`, {
      remedy: 'Correct HOLDFAST_TLS_NAMES or HOLDFAST_PUBLIC_URL.',
    });
  }
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const ca = await readOrMakeCa(directory);
    const caFile = join(directory, 'ca.crt');
    const kept = await readPem(join(directory, 'server.pem'));
    if (kept && isGood({ certificate: kept, ca, names, nowMs: clock.nowMs() })) return { ...kept, caFile, ca };
    return { ...(await makeServerCertificate(directory, names)), caFile, ca };
  } catch (error) {
    const code = systemErrorCode(error);
    if (error instanceof HoldfastError || code === undefined) throw error;
    const remedy =
      code === 'ENOENT' ? { remedy: 'Install openssl, or give a certificate with HOLDFAST_TLS_CERT.' } : {};
    throw new HoldfastError('certificate_invalid', `No certificate could be made in ${directory}: ${code}.`, {
      cause: error,
      ...remedy,
    });
  }
}

async function readOrMakeCa(directory: string): Promise<X509Certificate> {
  const file = join(directory, 'ca.crt');
  const kept = await readFile(file, 'utf8').catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (kept !== undefined) return parseCertificate(kept, file);
  await within(directory, async (place) => {
    await openssl(place, {
      subject: `Holdfast CA of ${hostname().slice(0, 40)}`,
      days: caDays,
      extensions: [
        'basicConstraints=critical,CA:TRUE,pathlen:0',
        'keyUsage=critical,keyCertSign,cRLSign',
        'subjectKeyIdentifier=hash',
      ],
    });
    // The key first: a CA whose key is missing could never make another certificate.
    await rename(join(place, 'key.pem'), join(directory, 'ca.key'));
    await rename(join(place, 'cert.pem'), file);
  });
  return parseCertificate(await readFile(file, 'utf8'), file);
}

async function makeServerCertificate(directory: string, names: readonly string[]): Promise<ServerCertificate> {
  return await within(directory, async (place) => {
    const alternatives = names.map((name) => (isIP(name) === 0 ? `DNS:${name}` : `IP:${name}`));
    await openssl(place, {
      // A subject holds 64 characters; clients look at the alternative names anyway.
      subject: (names[0] ?? 'holdfast').slice(0, 64),
      days: serverDays,
      issuer: { certFile: join(directory, 'ca.crt'), keyFile: join(directory, 'ca.key') },
      extensions: [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,digitalSignature',
        'extendedKeyUsage=serverAuth',
        'subjectKeyIdentifier=hash',
        'authorityKeyIdentifier=keyid',
        `subjectAltName=${alternatives.join(',')}`,
      ],
    });
    const [key, cert] = await Promise.all(['key.pem', 'cert.pem'].map((name) => readFile(join(place, name), 'utf8')));
    // One file, so that key and certificate always belong together.
    await writeFile(join(place, 'server.pem'), `${key}${cert}`, { mode: 0o600 });
    await rename(join(place, 'server.pem'), join(directory, 'server.pem'));
    return { key: key!, cert: cert! };
  });
}

type CertificateRequest = {
  readonly subject: string;
  readonly days: number;
  readonly extensions: readonly string[];
  /** Itself when undefined. */
  readonly issuer?: { readonly certFile: string; readonly keyFile: string };
};

/** Makes key.pem and cert.pem in a place of their own. */
async function openssl(place: string, { subject, days, extensions, issuer }: CertificateRequest): Promise<void> {
  const configuration = join(place, 'openssl.cnf');
  // Of its own: what a machine's openssl.cnf says about extensions is not ours to know.
  const lines = [
    '[req]',
    'distinguished_name = name',
    'x509_extensions = extensions',
    'prompt = no',
    'string_mask = utf8only',
  ];
  await writeFile(configuration, [...lines, '[name]', `CN = ${subject}`, '[extensions]', ...extensions, ''].join('\n'));
  const words = [
    'req',
    '-x509',
    '-config',
    configuration,
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-noenc',
  ];
  const signing = issuer ? ['-CA', issuer.certFile, '-CAkey', issuer.keyFile] : [];
  const made = ['-days', String(days), '-sha256', '-keyout', join(place, 'key.pem'), '-out', join(place, 'cert.pem')];
  try {
    await promisify(execFile)('openssl', [...words, ...signing, ...made], { timeout: 30_000 });
  } catch (error) {
    if (systemErrorCode(error) !== undefined) throw error;
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new HoldfastError('certificate_invalid', `openssl made no certificate: ${said}`, { cause: error });
  }
}

async function within<Result>(directory: string, work: (place: string) => Promise<Result>): Promise<Result> {
  const place = await mkdtemp(join(directory, 'new-'));
  try {
    return await work(place);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
}

/** Undefined when there is none, or none that can be read: then another one is made. */
async function readPem(file: string): Promise<ServerCertificate | undefined> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  });
  const at = text.indexOf('-----BEGIN CERTIFICATE-----');
  return at > 0 ? { key: text.slice(0, at), cert: text.slice(at) } : undefined;
}

function isGood(request: {
  readonly certificate: ServerCertificate;
  readonly ca: X509Certificate;
  readonly names: readonly string[];
  readonly nowMs: number;
}): boolean {
  const { certificate, ca, names, nowMs } = request;
  try {
    const parsed = new X509Certificate(certificate.cert);
    const hasNames = names.every((name) =>
      isIP(name) === 0 ? parsed.checkHost(name) !== undefined : parsed.checkIP(name) !== undefined,
    );
    return hasNames && parsed.verify(ca.publicKey) && parsed.validToDate.getTime() - nowMs > renewBeforeMs;
  } catch {
    return false;
  }
}

function parseCertificate(text: string, file: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw new HoldfastError('certificate_invalid', `${file} holds no certificate.`, {
      cause,
      remedy: 'Bring back the file, or remove it with ca.key: all clients and agents need the new one then.',
    });
  }
}
