/** Starts a program of PostgreSQL: as the unprivileged user, with no secret of ours in its environment, dying with us. */
import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import type { UnprivilegedUser } from './unprivileged-user.ts';

export type ProgramStart = {
  readonly program: string;
  readonly args: readonly string[];
  readonly user: UnprivilegedUser | undefined;
  /** Inherited, so that the lock lives as long as the program. */
  readonly lockDescriptor: number;
};

/** Who dies between our fork and the wish to be told of it is not told; then the parent is no longer the one named. */
const UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"';

/**
 * Its pid is the program's: each step replaces itself by the next. When this process ends in whatever way, it is sent
 * SIGQUIT, at which PostgreSQL ends at once and leaves recovery to its next start.
 *
 * The kernel means the thread that forked: call this from the main thread.
 */
export function startProgram({ program, args, user, lockDescriptor }: ProgramStart): ChildProcess {
  const asUser =
    user === undefined ? [] : [`--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups', '--no-new-privs'];
  const orphan = ['sh', '-c', UNLESS_ORPHANED, String(process.pid)];
  return spawn('setpriv', [...asUser, '--pdeathsig=QUIT', '--', ...orphan, program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', lockDescriptor],
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC', TMPDIR: tmpdir() },
    // Ctrl-C in a terminal is sent to the whole group; the database has to outlive what still uses it.
    detached: true,
  });
}
