/** One virtual machine of a libvirt on this host: its life, its monitor, and the way to its guest agent. */

import { HoldfastError, hasCode } from '@holdfast/base';
import { DomainCheckpoints } from './domain-checkpoints.ts';
import type { DomainHandle } from './domain-handle.ts';
import { DomainLayers } from './domain-layers.ts';
import { type DomainState, type DomainStatus, isActive, parseDomainStatus } from './domain-state.ts';
import { attribute, elementAt, parseRoot } from './domain-xml/document.ts';
import { beginFrozenBackup, type FrozenBackup, type FrozenRun, runFrozen } from './frozen-backup.ts';
import { GuestAgent } from './guest-agent.ts';
import { pause } from './pause.ts';
import type { Virsh, VirshRun } from './virsh.ts';

export type CallOptions = { readonly signal?: AbortSignal | undefined };

export type MonitorRequest = {
  readonly command: string;
  readonly args?: Readonly<Record<string, unknown>>;
  /** A minute when absent. */
  readonly timeoutMs?: number;
} & CallOptions;

/** How often a state is asked for, which costs some 2 ms of processor. */
const POLL_MS = 100;
/** A job that was told to end is gone within some 10 ms. */
const JOB_END_POLL_MS = 10;
/** How long a call waits for another job of the machine to end. */
const BUSY_LIMIT_MS = 60_000;

export class Domain {
  readonly name: string;
  readonly uuid: string;
  readonly agent: GuestAgent;
  readonly checkpoints: DomainCheckpoints;
  readonly layers: DomainLayers;
  readonly #virsh: Virsh;

  /** Got from a `Libvirt`, which has looked it up. */
  constructor(handle: DomainHandle) {
    const { virsh, name, uuid } = handle;
    this.#virsh = virsh;
    this.name = name;
    this.uuid = uuid;
    this.agent = new GuestAgent(handle);
    this.checkpoints = new DomainCheckpoints(handle);
    this.layers = new DomainLayers(handle);
  }

  /** @throws vm_not_found, and what every call may: libvirt_unreachable, libvirt_denied, libvirt_timeout, libvirt_failed */
  async status({ signal }: CallOptions = {}): Promise<DomainStatus> {
    const args = ['domstate', '--reason', this.uuid];
    return parseDomainStatus((await this.#virsh.run({ args, doing: `look at ${this.name}`, signal })).trim());
  }

  /** Waits until the machine is in one of these states. @throws libvirt_timeout naming the state that it is in instead */
  async waitFor(options: {
    readonly states: readonly DomainState[];
    readonly timeoutMs: number;
    readonly signal?: AbortSignal | undefined;
  }): Promise<DomainStatus> {
    const { states, timeoutMs, signal } = options;
    for (const startedMs = performance.now(); ; await pause(POLL_MS, signal)) {
      const status = await this.status({ signal });
      if (states.includes(status.state)) return status;
      if (performance.now() - startedMs < timeoutMs) continue;
      const late = `${this.name} is ${status.state} and not ${states.join(' or ')} after ${timeoutMs / 1000} s`;
      throw new HoldfastError('libvirt_timeout', late, { facts: { vm: this.name, state: status.state } });
    }
  }

  /**
   * The definition as XML, with secrets (VNC passwords) as libvirt needs them to define it again.
   * `live`: what the running machine has, with its backing chains and addresses; a machine that is off has only `stored`.
   */
  async xml({ which, signal }: { readonly which: 'live' | 'stored' } & CallOptions): Promise<string> {
    const args = ['dumpxml', this.uuid, '--security-info', ...(which === 'stored' ? ['--inactive'] : [])];
    return await this.#virsh.run({ args, doing: `read the definition of ${this.name}`, signal });
  }

  /** Its stored definition anew; name and UUID in it must be its own. @throws vm_definition_invalid, vm_unsupported */
  async redefine({ xml }: { readonly xml: string }): Promise<void> {
    await this.#virsh.run({ args: ['define'], documents: [xml], doing: `define ${this.name}` });
  }

  /** @throws vm_state_invalid when it runs, vm_unsupported, libvirt_failed with QEMU's words */
  async start({ paused = false, signal }: { readonly paused?: boolean } & CallOptions = {}): Promise<void> {
    await this.#change('start', `start ${this.name}`, { options: paused ? ['--paused'] : [], signal });
  }

  /** @throws vm_state_invalid when it does not run */
  async pause({ signal }: CallOptions = {}): Promise<void> {
    await this.#change('suspend', `pause ${this.name}`, { signal });
  }

  /** Also after a pause by QEMU itself for an I/O error. @throws vm_state_invalid when it is off */
  async resume({ signal }: CallOptions = {}): Promise<void> {
    await this.#change('resume', `resume ${this.name}`, { signal });
  }

  /** Asks the guest to shut down; whether it does is for `waitFor` to see. @throws vm_state_invalid, guest_agent_missing */
  async shutdown({ by = 'acpi', signal }: { readonly by?: 'acpi' | 'agent' } & CallOptions = {}): Promise<void> {
    await this.#change('shutdown', `shut ${this.name} down`, { options: ['--mode', by], signal });
  }

  /** Pulls the plug. @throws vm_state_invalid when it is off */
  async destroy({ signal }: CallOptions = {}): Promise<void> {
    await this.#change('destroy', `turn ${this.name} off`, { signal });
  }

  /**
   * Removes the definition, with nvram, TPM state, saved memory and what libvirt noted of checkpoints and snapshots; disks
   * stay.
   * @throws vm_state_invalid while it runs: libvirt would make it a machine that vanishes when it ends
   */
  async undefine({ signal }: CallOptions = {}): Promise<void> {
    const { state } = await this.status({ signal });
    if (isActive(state)) {
      throw new HoldfastError('vm_state_invalid', `${this.name} is ${state} and cannot be removed`, {
        remedy: 'Shut it down first.',
      });
    }
    const options = ['--managed-save', '--nvram', '--tpm', '--checkpoints-metadata', '--snapshots-metadata'];
    await this.#change('undefine', `remove the definition of ${this.name}`, { options, signal });
  }

  /**
   * A command of QEMU's monitor, and what it returns.
   * @throws qemu_failed with QEMU's words, vm_state_invalid when it does not run
   */
  async monitor(request: MonitorRequest): Promise<unknown> {
    const run = this.#monitorRun(request);
    return monitorAnswer(await this.whenFree(() => this.#virsh.run(run), request), run.doing);
  }

  /**
   * The same with the guest's file systems frozen meanwhile, by one process that thaws them also when we are killed. None
   * of the three steps keeps the next from being tried; after a thaw that failed the guest may be frozen still.
   */
  async monitorFrozen(
    request: MonitorRequest & { readonly agentTimeoutMs: number },
  ): Promise<Pick<FrozenRun, 'frozen' | 'thawed' | 'frozenMs'> & { readonly answered: true | HoldfastError }> {
    const { name, uuid } = this;
    const run = this.#monitorRun(request);
    const { agentTimeoutMs } = request;
    const { outcome, ...frozen } = await runFrozen({ virsh: this.#virsh, name, uuid, run, agentTimeoutMs });
    if (!outcome.ok) return { ...frozen, answered: outcome.error };
    try {
      monitorAnswer(outcome.output, run.doing);
      return { ...frozen, answered: true };
    } catch (error) {
      if (error instanceof HoldfastError) return { ...frozen, answered: error };
      throw error;
    }
  }

  #monitorRun({ command, args = {}, timeoutMs, signal }: MonitorRequest): VirshRun {
    const words = JSON.stringify({ execute: command, arguments: args });
    return {
      args: ['qemu-monitor-command', this.uuid, words],
      doing: `${command} on ${this.name}`,
      ...(timeoutMs !== undefined && { timeoutMs }),
      signal,
    };
  }

  /**
   * Starts a backup job, together with a checkpoint when one is given: all disks at one moment. It lives in QEMU until
   * `abortJob`, which is also the normal end of a pull backup, whatever becomes of us or of libvirtd.
   * Ask `hasJob` first: libvirt waits 30 s before it says that it is busy.
   * @throws vm_busy (another job runs), vm_state_invalid (off), checkpoint_not_found, checkpoint_inconsistent,
   *   vm_unsupported (a disk that can have no checkpoint), vm_definition_invalid, libvirt_failed (such as a socket that
   *   QEMU may not make)
   */
  async beginBackup(
    request: { readonly backupXml: string; readonly checkpointXml?: string | undefined } & CallOptions,
  ): Promise<void> {
    await this.#virsh.run(this.#backupRun(request));
  }

  /**
   * The same with the guest's file systems frozen meanwhile, by one process that thaws them also when we are killed. None
   * of the three steps keeps the next from being tried: a backup that was to be consistent and is not is for the
   * caller to abort.
   */
  async beginFrozenBackup(request: {
    readonly backupXml: string;
    readonly checkpointXml?: string | undefined;
    /** For each of freeze and thaw; whole seconds, rounded up. */
    readonly agentTimeoutMs: number;
  }): Promise<FrozenBackup> {
    const { name, uuid } = this;
    const { agentTimeoutMs } = request;
    return await beginFrozenBackup({ virsh: this.#virsh, name, uuid, begin: this.#backupRun(request), agentTimeoutMs });
  }

  #backupRun(request: { backupXml: string; checkpointXml?: string | undefined } & CallOptions): VirshRun {
    const { backupXml, checkpointXml, signal } = request;
    const documents = [backupXml, ...(checkpointXml === undefined ? [] : [checkpointXml])];
    return { args: ['backup-begin', this.uuid], documents, doing: `begin a backup of ${this.name}`, signal };
  }

  /** Socket of the pull backup that is running, which tells whose it is; undefined when none is. */
  async backupSocket({ signal }: CallOptions = {}): Promise<string | undefined> {
    if (!(await this.hasJob({ signal }))) return undefined;
    try {
      const args = ['backup-dumpxml', this.uuid];
      const xml = await this.#virsh.run({ args, doing: `look at the backup of ${this.name}`, signal });
      return attribute(elementAt(parseRoot(xml), 'server'), 'socket');
    } catch (error) {
      // Another kind of job, or it has just ended.
      if (hasCode(error, 'libvirt_failed', 'vm_busy')) return undefined;
      throw error;
    }
  }

  /** Ends the running job and waits until it is gone. @throws vm_state_invalid when there is none */
  async abortJob({ signal }: CallOptions = {}): Promise<void> {
    await this.#virsh.run({ args: ['domjobabort', this.uuid], doing: `end the job of ${this.name}`, signal });
    while (await this.hasJob({ signal })) await pause(JOB_END_POLL_MS, signal);
  }

  /**
   * Runs a call, and again when it was refused because of another job of the machine, once that has ended.
   * @throws vm_busy when it does not end within a minute
   */
  async whenFree<Result>(call: () => Promise<Result>, { signal }: CallOptions = {}): Promise<Result> {
    for (const startedMs = performance.now(); ; await pause(POLL_MS, signal)) {
      try {
        return await call();
      } catch (error) {
        if (!hasCode(error, 'vm_busy') || performance.now() - startedMs > BUSY_LIMIT_MS) throw error;
        while ((await this.hasJob({ signal })) && performance.now() - startedMs < BUSY_LIMIT_MS) {
          await pause(POLL_MS, signal);
        }
      }
    }
  }

  /** Whether a backup, a migration or another long job is running; false for a machine that is off. */
  async hasJob({ signal }: CallOptions = {}): Promise<boolean> {
    const args = ['domjobinfo', this.uuid];
    try {
      const output = await this.#virsh.run({ args, doing: `ask for the jobs of ${this.name}`, signal });
      return !/^Job type:\s+None\s*$/m.test(output);
    } catch (error) {
      // Of one that was never started since libvirtd was.
      if (hasCode(error, 'vm_state_invalid')) return false;
      if (hasCode(error, 'vm_busy')) return true;
      throw error;
    }
  }

  /** Whether it was suspended to disk: its memory comes back at the next start. */
  async hasSavedMemory({ signal }: CallOptions = {}): Promise<boolean> {
    const args = ['dominfo', this.uuid];
    const output = await this.#virsh.run({ args, doing: `look at ${this.name}`, signal });
    return /^Managed save:\s+yes\s*$/m.test(output);
  }

  async #change(
    command: string,
    doing: string,
    { options = [], signal }: { readonly options?: readonly string[] } & CallOptions,
  ): Promise<void> {
    await this.whenFree(() => this.#virsh.run({ args: [command, this.uuid, ...options], doing, signal }), { signal });
  }
}

/** @throws qemu_failed with QEMU's words */
function monitorAnswer(output: string, doing: string): unknown {
  const reply = JSON.parse(output) as { readonly return?: unknown; readonly error?: { readonly desc?: unknown } };
  if (reply.error) throw new HoldfastError('qemu_failed', `${doing}: ${String(reply.error.desc)}`);
  return reply.return;
}
