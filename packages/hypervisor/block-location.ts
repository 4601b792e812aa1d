/** The ways to name a disk on the command line and in the API. */
import { resolve } from 'node:path';
import { HoldfastError } from '@holdfast/base';

export type NbdAddress =
  | { readonly kind: 'unix'; readonly socketPath: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export type BlockLocation =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'nbd'; readonly address: NbdAddress; readonly exportName: string };

/** IANA's port for NBD. */
const NBD_PORT = 10809;

/**
 * A path (image file or block device; made absolute), `nbd://host[:port]/export` or
 * `nbd+unix:///export?socket=/path`. The export name may be empty and is percent-decoded.
 * @throws usage
 */
export function parseBlockLocation(text: string): BlockLocation {
  if (text === '') throw notUnderstood(text, 'it is empty');
  if (text.includes('\0')) throw notUnderstood(text, 'it holds a zero byte');
  if (text.startsWith('rbd:')) {
    throw new HoldfastError('usage', `${text}: Ceph RBD is not supported yet`, {
      remedy: 'Map the image with rbd-nbd or krbd and name the block device.',
    });
  }
  if (/^nbds(\+unix)?:/.test(text)) throw notUnderstood(text, 'NBD over TLS is not supported');
  if (/^nbd(\+unix)?:/.test(text)) return parseNbdUri(text);
  if (text.startsWith('file://')) return { kind: 'file', path: decodePath(text) };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text);
  if (scheme) throw notUnderstood(text, `${scheme[1]}: is not known`);
  return { kind: 'file', path: resolve(text) };
}

function parseNbdUri(text: string): BlockLocation {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^nbd(\+unix)?:\/\//.test(text)) throw notUnderstood(text, 'it is no NBD URI');
  if (url.username !== '' || url.password !== '' || url.hash !== '') {
    throw notUnderstood(text, 'user, password and fragment have no meaning in an NBD URI');
  }
  const exportName = decode(text, url.pathname.replace(/^\//, ''));
  const socketPath = url.searchParams.get('socket');
  const unknown = [...url.searchParams.keys()].find((key) => key !== 'socket');
  if (unknown !== undefined) throw notUnderstood(text, `the parameter ${unknown} is not known`);
  if (url.protocol === 'nbd+unix:') {
    if (url.host !== '') throw notUnderstood(text, 'an NBD URI of a unix socket has no host');
    if (!socketPath?.startsWith('/')) throw notUnderstood(text, 'it needs socket=/absolute/path');
    return { kind: 'nbd', address: { kind: 'unix', socketPath }, exportName };
  }
  if (socketPath !== null) throw notUnderstood(text, 'socket= belongs to nbd+unix://');
  if (url.hostname === '') throw notUnderstood(text, 'the host is missing');
  const host = decode(text, url.hostname).replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? NBD_PORT : Number(url.port);
  if (port === 0) throw notUnderstood(text, 'port 0 is no port');
  return { kind: 'nbd', address: { kind: 'tcp', host, port }, exportName };
}

/** How an NBD address and export are written in messages and given to other programs. */
export function formatNbdUri(address: NbdAddress, exportName: string): string {
  const name = encodeURIComponent(exportName);
  switch (address.kind) {
    case 'unix':
      return `nbd+unix:///${name}?socket=${encodeURIComponent(address.socketPath).replaceAll('%2F', '/')}`;
    case 'tcp': {
      const host = address.host.includes(':') ? `[${address.host}]` : address.host;
      return `nbd://${host}:${address.port}/${name}`;
    }
    default:
      return address satisfies never;
  }
}

function decodePath(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || url.host !== '') throw notUnderstood(text, 'a file URL has three slashes and no host');
  return resolve(decode(text, url.pathname));
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw notUnderstood(text, 'its percent-encoding is broken');
  }
}

function notUnderstood(text: string, why: string): HoldfastError {
  return new HoldfastError('usage', `${JSON.stringify(text)} names no disk: ${why}`, {
    remedy: 'Use an image file, a block device, nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH.',
  });
}
