/** How the guest agent is asked through virsh, and how its answer is read. */
import { HoldfastError } from '@holdfast/base';
import type { VirshRun } from './virsh.ts';

const TIMEOUT_MS = 10_000;
/** libvirt's own work around the agent's answer. */
const MARGIN_MS = 20_000;

export type AgentRequest = {
  readonly name: string;
  readonly uuid: string;
  readonly command: string;
  readonly args?: Readonly<Record<string, unknown>>;
  /** How long the agent may take; whole seconds, rounded up. 10 s when absent. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

export function agentRun({ name, uuid, command, args = {}, timeoutMs = TIMEOUT_MS, signal }: AgentRequest): VirshRun {
  const seconds = Math.ceil(timeoutMs / 1000);
  return {
    args: ['qemu-agent-command', uuid, `--timeout=${seconds}`, JSON.stringify({ execute: command, arguments: args })],
    doing: `${command} in ${name}`,
    timeoutMs: seconds * 1000 + MARGIN_MS,
    signal,
  };
}

/** What the agent returned. @throws guest_command_failed when that is no answer */
export function agentAnswer(output: string, doing: string): unknown {
  const reply = record(JSON.parse(output));
  if (!('return' in reply)) throw unexpected(doing, reply);
  return reply['return'];
}

/** The number of file systems that a freeze or thaw answers. @throws guest_command_failed */
export function countOf(value: unknown, doing: string): number {
  if (typeof value === 'number') return value;
  throw unexpected(doing, value);
}

export function unexpected(doing: string, answer: unknown): HoldfastError {
  return new HoldfastError('guest_command_failed', `${doing}: ${JSON.stringify(answer)} is no answer to it`);
}

export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
