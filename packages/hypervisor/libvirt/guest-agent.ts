/**
 * The QEMU guest agent of one machine. An agent that hangs blocks whoever waits for it, so every call has a limit of its
 * own (domfsfreeze has none: it waits for ever unless guest-agent-timeout was set before); what was asked for may
 * still happen in the guest after it (docs/design/hypervisor.md, Freeze).
 */

import { HoldfastError, KiB } from '@holdfast/base';
import { agentAnswer, agentRun, countOf, record, unexpected } from './agent-request.ts';
import type { CallOptions } from './domain.ts';
import type { DomainHandle } from './domain-handle.ts';
import { pause } from './pause.ts';

export type AgentCall = {
  /** How long the agent may take; whole seconds, rounded up. 10 s when absent. */
  readonly timeoutMs?: number;
} & CallOptions;

export type FreezeState = 'frozen' | 'thawed';

export type GuestProgram = {
  /** Absolute, or found by the agent's PATH. */
  readonly program: string;
  readonly args?: readonly string[];
  /** `NAME=value` */
  readonly environment?: readonly string[];
  readonly input?: string;
  /** From start to end of the program. */
  readonly timeoutMs: number;
  /** Of standard output and of standard error each; the end of what is more is cut off. 64 KiB when absent. */
  readonly outputLimitBytes?: number;
} & CallOptions;

export type GuestProgramResult = {
  /** Undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  readonly output: string;
  readonly errors: string;
  readonly isCut: boolean;
};

export type GuestSystem = { readonly id?: string; readonly prettyName?: string; readonly kernel?: string };

/** Between two questions whether a program in the guest has ended. */
const PROGRAM_POLL_MS = 100;

export class GuestAgent {
  readonly #domain: DomainHandle;

  constructor(domain: DomainHandle) {
    this.#domain = domain;
  }

  /** Ends well when the agent answers. @throws guest_agent_missing, guest_agent_unresponsive, vm_state_invalid (not running) */
  async ping(call: AgentCall = {}): Promise<void> {
    await this.#command('guest-ping', {}, call);
  }

  /**
   * Flushes the guest's file systems and holds back its writes until `thaw`.
   * After an error the guest may freeze all the same, or later: call `thaw` until `freezeState` says thawed.
   * @returns how many file systems
   * @throws guest_agent_missing, guest_agent_unresponsive, guest_command_failed (frozen already, or not supported)
   */
  async freeze(call: AgentCall = {}): Promise<number> {
    const count = await this.#command('guest-fsfreeze-freeze', {}, call);
    return countOf(count, `freeze the file systems of ${this.#domain.name}`);
  }

  /** @returns how many file systems it thawed, 0 when none was frozen */
  async thaw(call: AgentCall = {}): Promise<number> {
    const count = await this.#command('guest-fsfreeze-thaw', {}, call);
    return countOf(count, `thaw the file systems of ${this.#domain.name}`);
  }

  async freezeState(call: AgentCall = {}): Promise<FreezeState> {
    const state = await this.#command('guest-fsfreeze-status', {}, call);
    if (state === 'frozen' || state === 'thawed') return state;
    throw unexpected(`guest-fsfreeze-status of ${this.#domain.name}`, state);
  }

  async system(call: AgentCall = {}): Promise<GuestSystem> {
    const info = record(await this.#command('guest-get-osinfo', {}, call));
    const text = (key: string): string | undefined => (typeof info[key] === 'string' ? info[key] : undefined);
    const [id, prettyName, kernel] = [text('id'), text('pretty-name'), text('kernel-release')];
    return {
      ...(id !== undefined && { id }),
      ...(prettyName !== undefined && { prettyName }),
      ...(kernel !== undefined && { kernel }),
    };
  }

  /**
   * Runs a program in the guest and waits for its end. One that takes too long, or is given up by abort, is killed
   * (a guest with a `kill` program is needed for that).
   * @throws guest_command_timeout, guest_command_failed (no such program, or forbidden), guest_agent_missing,
   *   guest_agent_unresponsive
   */
  async run(options: GuestProgram): Promise<GuestProgramResult> {
    const { program, args = [], environment = [], input, timeoutMs, outputLimitBytes = 64 * KiB, signal } = options;
    const startedMs = performance.now();
    const started = await this.#command(
      'guest-exec',
      {
        path: program,
        arg: args,
        env: environment,
        'capture-output': true,
        ...(input !== undefined && { 'input-data': Buffer.from(input).toString('base64') }),
      },
      { signal },
    );
    const { pid } = record(started);
    if (typeof pid !== 'number') throw unexpected(`guest-exec of ${this.#domain.name}`, started);
    try {
      for (;;) {
        const status = record(await this.#command('guest-exec-status', { pid }, { signal }));
        if (status['exited'] === true) return programResult(status, outputLimitBytes);
        if (performance.now() - startedMs > timeoutMs) throw tooLong(this.#domain.name, options);
        await pause(PROGRAM_POLL_MS, signal);
      }
    } catch (error) {
      await this.#command('guest-exec', { path: 'kill', arg: ['-KILL', String(pid)] }, {}).catch(() => undefined);
      throw error;
    }
  }

  /** A command of the agent, and what it returns. */
  async #command(command: string, args: Readonly<Record<string, unknown>>, call: AgentCall): Promise<unknown> {
    const { virsh, name, uuid } = this.#domain;
    const run = agentRun({ name, uuid, command, args, ...call });
    return agentAnswer(await virsh.run(run), run.doing);
  }
}

function programResult(status: Readonly<Record<string, unknown>>, limitBytes: number): GuestProgramResult {
  const { exitcode: exitCode, signal } = status;
  const [output, errors] = ['out-data', 'err-data'].map((key) => {
    const data = status[key];
    return Buffer.from(typeof data === 'string' ? data : '', 'base64');
  });
  const isLong = [output, errors].some((data) => data !== undefined && data.length > limitBytes);
  return {
    exitCode: typeof exitCode === 'number' ? exitCode : undefined,
    signal: typeof signal === 'number' ? signal : undefined,
    output: output?.subarray(0, limitBytes).toString('utf8') ?? '',
    errors: errors?.subarray(0, limitBytes).toString('utf8') ?? '',
    isCut: isLong || status['out-truncated'] === true || status['err-truncated'] === true,
  };
}

function tooLong(name: string, { program, timeoutMs }: GuestProgram): HoldfastError {
  const detail = `${program} in ${name} did not end within ${timeoutMs / 1000} s and was killed`;
  return new HoldfastError('guest_command_timeout', detail, { facts: { vm: name, program } });
}
