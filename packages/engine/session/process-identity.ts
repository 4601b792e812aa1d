/** Who holds a session: enough to tell, on the same host, whether that process still lives. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { z } from 'zod';

export const processIdentitySchema = z.strictObject({
  host: z.string(),
  /** Changes at each boot of the host. */
  boot: z.string(),
  pid: z.int().min(1),
  /** Start time of the process in clock ticks since boot; pids are reused, this is not. */
  started_ticks: z.string(),
});
export type ProcessIdentity = z.output<typeof processIdentitySchema>;

/** Read once: it is the same as long as the process lives. */
let own: ProcessIdentity | undefined;

export function ownProcessIdentity(): ProcessIdentity {
  own ??= {
    host: hostname(),
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
    pid: process.pid,
    started_ticks: startedTicks(process.pid) ?? '',
  };
  return own;
}

/** `unknown` for processes of other hosts: only their owner can say. */
export function livenessOf(identity: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  const { host, boot, pid, started_ticks: ownTicks } = ownProcessIdentity();
  if (identity.host !== host) return 'unknown';
  if (identity.boot !== boot) return 'dead';
  const ticks = identity.pid === pid ? ownTicks : startedTicks(identity.pid);
  return ticks === identity.started_ticks ? 'alive' : 'dead';
}

/** Field 22 of /proc/PID/stat (proc(5)); the second field may hold spaces and parentheses. */
function startedTicks(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
