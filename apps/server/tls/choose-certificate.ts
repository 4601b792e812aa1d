/** Which certificate the server shows, now and when that one ends. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@holdfast/base';
import type { Configuration } from '../configuration/read-configuration.ts';
import { ownCertificate, type ServerCertificate } from './certificate-authority.ts';
import { readCertificateFiles } from './certificate-files.ts';

export type ChosenCertificate = ServerCertificate & {
  /** Of the own CA: what clients have to trust. */
  readonly authority: { readonly file: string; readonly sha256: string } | undefined;
  /** When it ends and nobody renews it but its owner. */
  readonly endsMs: number | undefined;
};

/** Undefined without TLS. @throws certificate_invalid */
export async function chooseCertificate(
  { tls, dataDirectory, listen, publicUrl }: Configuration,
  clock: Clock,
): Promise<ChosenCertificate | undefined> {
  switch (tls.kind) {
    case 'off':
      return undefined;
    case 'files':
      return { ...(await readCertificateFiles(tls)), authority: undefined };
    case 'own': {
      const publicHost = publicUrl === undefined ? [] : [unbracketed(new URL(publicUrl).hostname)];
      // An address that stands for all of them is no name.
      const listened = ['0.0.0.0', '::'].includes(listen.host) ? [] : [listen.host];
      const names = [...publicHost, ...tls.names, ...listened, hostname(), 'localhost', '127.0.0.1', '::1'];
      const { cert, key, ca, caFile } = await ownCertificate({ directory: join(dataDirectory, 'tls'), names, clock });
      return { cert, key, authority: { file: caFile, sha256: ca.fingerprint256 }, endsMs: undefined };
    }
    default:
      return tls satisfies never;
  }
}

/** A URL writes IPv6 as [::1]. */
function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
