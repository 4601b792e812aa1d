/** How quiet a guest is at the moment of its point: what is asked for, what could be had, and why not more. */
import { HoldfastError } from '@holdfast/base';
import type { Domain, DomainStatus } from '@holdfast/hypervisor/libvirt';
import type { FreezeRecord } from './freeze-record.ts';
import { callGuestHook, type GuestHook } from './guest-hook.ts';

/** `require`: no point without a frozen guest. `prefer`: as quiet as it goes. `never`: the guest is left alone. */
export type ConsistencyPolicy = 'require' | 'prefer' | 'never';

export type Quiet = {
  /** The agent answers, so it can be asked to freeze. */
  readonly canFreeze: boolean;
  /** The hook was called, so it has to be called again. */
  readonly isHookOpen: boolean;
  /** Applications are quiet. */
  readonly isHookDone: boolean;
  readonly warnings: readonly string[];
};

/** An agent that lives answers within a second; one that hangs never does. */
const PING_TIMEOUT_MS = 5000;

const leftAlone: Quiet = { canFreeze: false, isHookOpen: false, isHookDone: false, warnings: [] };

/**
 * Everything before the freeze.
 * @throws under `require`: vm_state_invalid (paused), guest_agent_missing, guest_agent_unresponsive, guest_hook_failed,
 *   guest_command_timeout. Then, and after an abort, the hook is closed again
 */
export async function quiesce(request: {
  readonly domain: Domain;
  readonly status: DomainStatus;
  readonly policy: ConsistencyPolicy;
  readonly hook: GuestHook;
  readonly record: FreezeRecord;
  readonly signal?: AbortSignal | undefined;
}): Promise<Quiet> {
  const { domain, status, policy, hook, record, signal } = request;
  const { agent } = domain;
  if (policy === 'never') return leftAlone;
  try {
    if (status.state !== 'running') {
      throw new HoldfastError('vm_state_invalid', `${domain.name} is ${status.state}, so its guest cannot be frozen.`, {
        remedy: 'Resume it first, or back up with --consistency prefer.',
      });
    }
    await agent.ping({ timeoutMs: PING_TIMEOUT_MS, signal });
  } catch (error) {
    return giveUpOrThrow(error, policy, leftAlone);
  }
  try {
    await record.openHook(hook);
    const isHookDone = await callGuestHook({ agent, hook, phase: 'freeze', signal });
    if (!isHookDone) await record.closeHook();
    return { canFreeze: true, isHookOpen: isHookDone, isHookDone, warnings: [] };
  } catch (error) {
    if (!canGiveUp(error, policy)) await closeHook({ domain, hook, record });
    return giveUpOrThrow(error, policy, { ...leftAlone, canFreeze: true, isHookOpen: true });
  }
}

/** After the thaw. Its failure spoils nothing in the point. @returns what to tell the user */
export async function closeHook({
  domain,
  hook,
  record,
}: {
  readonly domain: Domain;
  readonly hook: GuestHook;
  readonly record: FreezeRecord;
}): Promise<readonly string[]> {
  try {
    await callGuestHook({ agent: domain.agent, hook, phase: 'thaw' });
    return [];
  } catch (error) {
    return [`The hook in ${domain.name} was not told that the point is made: ${messageOf(error)}`];
  } finally {
    await record.closeHook();
  }
}

function giveUpOrThrow(error: unknown, policy: ConsistencyPolicy, quiet: Quiet): Quiet {
  if (!canGiveUp(error, policy)) throw error;
  return { ...quiet, warnings: [lessThanWanted(error)] };
}

/** An abort is no HoldfastError: it ends the backup under every policy. */
function canGiveUp(error: unknown, policy: ConsistencyPolicy): error is HoldfastError {
  return policy !== 'require' && error instanceof HoldfastError;
}

export function lessThanWanted(error: HoldfastError): string {
  return `The point is less consistent than it could be: ${error.message}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
