/** Nothing thaws a guest by itself. */
import { hasCode } from '@holdfast/base';
import type { Domain } from './domain.ts';
import { isActive } from './domain-state.ts';
import { pause } from './pause.ts';

const CALL_TIMEOUT_MS = 5000;
const POLL_MS = 500;

/**
 * Asks until the guest says that it is thawed: after an error it may freeze later than we asked it to.
 * @returns false when it did not say so in time, as an agent that hangs; true also for a machine that is off
 * @throws vm_not_found, libvirt_unreachable, libvirt_denied
 */
export async function thawUntilThawed(options: {
  readonly domain: Domain;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<boolean> {
  const { domain, timeoutMs, signal } = options;
  const call = { timeoutMs: CALL_TIMEOUT_MS, signal };
  for (const startedMs = performance.now(); ; await pause(POLL_MS, signal)) {
    try {
      if ((await domain.agent.freezeState(call)) === 'thawed') return true;
      await domain.agent.thaw(call);
      continue;
    } catch (error) {
      if (!hasCode(error, ...transient)) throw error;
      if (!isActive((await domain.status({ signal })).state)) return true;
    }
    if (performance.now() - startedMs > timeoutMs) return false;
  }
}

const transient = [
  'guest_agent_missing',
  'guest_agent_unresponsive',
  'guest_command_failed',
  'libvirt_timeout',
  'vm_busy',
  'vm_state_invalid',
] as const;
