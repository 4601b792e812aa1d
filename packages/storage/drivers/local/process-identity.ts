/**
 * Who made a temporary file, written so that another process can tell whether the maker is still alive. A pid alone is
 * not enough: pids are reused, differ between hosts that share an NFS export, and between containers of one host.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { systemErrorCode } from '@holdfast/base';

export type ProcessIdentity = {
  /** Hash of machine id and host name. */
  readonly host: string;
  /** Differs after each boot of the host. */
  readonly boot: string;
  /** Inode of the pid namespace: containers of one host have their own. */
  readonly pidNamespace: string;
  readonly pid: number;
  /** Start of the process in clock ticks since boot: tells a reused pid. */
  readonly started: string;
};

export type Liveness = 'alive' | 'dead' | 'unknown';

/** Of this process. Where /proc is missing, the parts are '0' and liveness cannot be told by others. */
export function ownIdentity(): ProcessIdentity {
  return {
    host: short(`${readText('/etc/machine-id')}\n${hostname()}`),
    boot: short(readText('/proc/sys/kernel/random/boot_id')),
    pidNamespace: linkDigits('/proc/self/ns/pid'),
    pid: process.pid,
    started: startTicks(readText('/proc/self/stat')) ?? '0',
  };
}

/** `unknown` where this process cannot judge: another host, or another pid namespace of the same boot. */
export async function livenessOf(other: ProcessIdentity, self: ProcessIdentity): Promise<Liveness> {
  if (other.host !== self.host || self.pidNamespace === '0') return 'unknown';
  if (other.boot !== self.boot) return 'dead';
  if (other.pidNamespace !== self.pidNamespace) return 'unknown';
  try {
    process.kill(other.pid, 0);
  } catch (error) {
    return systemErrorCode(error) === 'ESRCH' ? 'dead' : 'alive';
  }
  // With hidepid the file cannot be read though the process lives.
  const started = startTicks(await readFile(`/proc/${other.pid}/stat`, 'utf8').catch(() => ''));
  return started === undefined || started === other.started ? 'alive' : 'dead';
}

/** Field 22 of /proc/PID/stat; the name in field 2 may hold blanks and brackets, so it is counted from the last one. */
function startTicks(text: string): string | undefined {
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function linkDigits(path: string): string {
  try {
    return readlinkSync(path).replace(/\D/g, '') || '0';
  } catch {
    return '0';
  }
}

function short(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
