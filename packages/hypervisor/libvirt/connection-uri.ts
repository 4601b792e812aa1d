/** Where a libvirt is. */
import { HoldfastError } from '@holdfast/base';

export type ConnectionUri = {
  readonly text: string;
  /** Only on its own host can a machine be backed up or restored: sockets, scratch space and disks are there. */
  readonly isLocal: boolean;
};

/** The usual one on a host. */
export const DEFAULT_CONNECTION = 'qemu:///system';

/**
 * `qemu:///system`, `qemu:///session`, `qemu+unix:///system?socket=PATH`; remote: `qemu+ssh://HOST/system`,
 * `qemu+tcp://`, `qemu+tls://`, `qemu://HOST/`.
 * @throws usage
 */
export function parseConnectionUri(text: string): ConnectionUri {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const [driver, transport] = (url?.protocol ?? '').replace(/:$/, '').split('+');
  if (!url || driver !== 'qemu' || !text.includes('://')) throw notUnderstood(text, 'it does not begin with qemu:///');
  if (url.password !== '') throw notUnderstood(text, 'a password in it would be seen by everybody on this machine');
  if (!/^\/(system|session)$/.test(url.pathname)) throw notUnderstood(text, 'its path is neither /system nor /session');
  const isLocal = url.host === '' && (transport === undefined || transport === 'unix');
  if (!isLocal && url.host === '') throw notUnderstood(text, 'the host is missing');
  return { text, isLocal };
}

function notUnderstood(text: string, why: string): HoldfastError {
  return new HoldfastError('usage', `${JSON.stringify(text)} names no libvirt: ${why}`, {
    remedy: `Use ${DEFAULT_CONNECTION} for this host, or qemu+ssh://USER@HOST/system to list the machines of another.`,
  });
}
