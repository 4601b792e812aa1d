/**
 * A program of the guest's owner that quiets applications: called with `freeze` before the file systems are frozen and
 * with `thaw` after they are thawed, through the guest agent.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import type { GuestAgent } from '@holdfast/hypervisor/libvirt';

export type GuestHook = {
  /** Path in the guest. */
  readonly path: string;
  /** For each of the two calls. */
  readonly timeoutMs: number;
};

/** Of the shell below, when there is no such program. */
const MISSING = 113;

/**
 * @returns false when the guest has no such program (or no shell)
 * @throws guest_hook_failed with the end of what it said, guest_command_timeout, guest_agent_missing,
 *   guest_agent_unresponsive
 */
export async function callGuestHook(options: {
  readonly agent: GuestAgent;
  readonly hook: GuestHook;
  readonly phase: 'freeze' | 'thaw';
  readonly signal?: AbortSignal | undefined;
}): Promise<boolean> {
  const { agent, hook, phase, signal } = options;
  const script = `[ -x "$1" ] || exit ${MISSING}; exec "$1" "$2"`;
  try {
    const {
      exitCode,
      signal: killedBy,
      errors,
      output,
    } = await agent.run({
      program: '/bin/sh',
      args: ['-c', script, 'sh', hook.path, phase],
      timeoutMs: hook.timeoutMs,
      signal,
    });
    if (exitCode === 0) return true;
    if (exitCode === MISSING) return false;
    const how = killedBy === undefined ? `ended with ${exitCode}` : `was killed by signal ${killedBy}`;
    const words = (errors.trim() || output.trim()).slice(-500);
    throw new HoldfastError('guest_hook_failed', `${hook.path} ${phase} ${how}${words && `: ${words}`}`);
  } catch (error) {
    // No shell (Windows), or an agent that may start no programs.
    if (hasCode(error, 'guest_command_failed')) return false;
    if (!hasCode(error, 'guest_command_timeout')) throw error;
    const detail = `${hook.path} ${phase} did not end within ${hook.timeoutMs / 1000} s and was killed`;
    throw new HoldfastError('guest_command_timeout', detail, {
      cause: error,
      facts: { ...error.facts, program: hook.path },
    });
  }
}
