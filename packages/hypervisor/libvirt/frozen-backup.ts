/**
 * Freeze, begin, thaw, by one virsh over one connection. It stands in a session of its own, so it thaws the guest also when
 * we are killed in between; and the guest stands still for no start of a process.
 */
import { HoldfastError } from '@holdfast/base';
import { agentAnswer, agentRun, countOf } from './agent-request.ts';
import type { DomainHandle } from './domain-handle.ts';
import type { Outcome, VirshRun } from './virsh.ts';

export type FrozenBackup = {
  /** How many file systems were frozen, or why not: then the backup is only crash-consistent, or could not begin either. */
  readonly frozen: number | HoldfastError;
  readonly begun: true | HoldfastError;
  /** After an error the guest may be frozen still: thaw until its agent says `thawed`. */
  readonly thawed: number | HoldfastError;
  /** From the answer to the freeze to that to the thaw. */
  readonly frozenMs: number;
};

/** What ran between freeze and thaw, whatever it was. */
export type FrozenRun = Pick<FrozenBackup, 'frozen' | 'thawed' | 'frozenMs'> & { readonly outcome: Outcome };

/** As `runFrozen`. */
export async function beginFrozenBackup(
  options: DomainHandle & {
    readonly begin: VirshRun;
    /** For the agent's answer to each of freeze and thaw. */
    readonly agentTimeoutMs: number;
  },
): Promise<FrozenBackup> {
  const { begin, ...rest } = options;
  const { outcome, ...frozen } = await runFrozen({ ...rest, run: begin });
  return { ...frozen, begun: outcome.ok ? true : outcome.error };
}

/** Waits for its end whatever happens: there is no signal, since the guest must be thawed. */
export async function runFrozen(
  options: DomainHandle & { readonly run: VirshRun; readonly agentTimeoutMs: number },
): Promise<FrozenRun> {
  const { virsh, name, uuid, run, agentTimeoutMs: timeoutMs } = options;
  const freeze = agentRun({ name, uuid, command: 'guest-fsfreeze-freeze', timeoutMs });
  const thaw = agentRun({ name, uuid, command: 'guest-fsfreeze-thaw', timeoutMs });
  const [frozen, outcome, thawed] = await virsh.runTogether([freeze, run, thaw]);
  if (!frozen || !outcome || !thawed) throw new HoldfastError('internal', 'virsh.runTogether lost an outcome');
  return {
    frozen: fileSystems(frozen, freeze.doing),
    outcome,
    thawed: fileSystems(thawed, thaw.doing),
    frozenMs: thawed.endedMs - frozen.endedMs,
  };
}

function fileSystems(outcome: Outcome, doing: string): number | HoldfastError {
  if (!outcome.ok) return outcome.error;
  try {
    return countOf(agentAnswer(outcome.output, doing), doing);
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
}
