/** The user's own certificate. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import type { ServerCertificate } from './certificate-authority.ts';

export type CertificateFiles = { readonly certFile: string; readonly keyFile: string };

/** @returns also until when it is good. @throws certificate_invalid */
export async function readCertificateFiles({
  certFile,
  keyFile,
}: CertificateFiles): Promise<ServerCertificate & { readonly endsMs: number }> {
  const [cert, key] = [await readPem(certFile), await readPem(keyFile)];
  const certificate = parse(() => new X509Certificate(cert), `${certFile} holds no certificate in PEM`);
  const privateKey = parse(() => createPrivateKey(key), `${keyFile} holds no key in PEM, or one with a passphrase`);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new HoldfastError(
      'certificate_invalid',
      `The key ${keyFile} does not belong to the certificate ${certFile}.`,
      {
        remedy:
          'Give the key that the certificate was requested with, and in the file of the certificate that one first.',
      },
    );
  }
  parse(() => createSecureContext({ cert, key }), `${certFile} and ${keyFile} cannot be used together`);
  return { cert, key, endsMs: certificate.validToDate.getTime() };
}

async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new HoldfastError('certificate_invalid', `${file} cannot be read: ${systemErrorCode(error)}.`, {
      cause: error,
    });
  }
}

function parse<Result>(read: () => Result, otherwise: string): Result {
  try {
    return read();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HoldfastError('certificate_invalid', `${otherwise}: ${reason}.`, { cause });
  }
}
