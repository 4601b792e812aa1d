/** Taking a snapshot of a running machine while its guest is as quiet as it is wanted to be. */
import { HoldfastError } from '@holdfast/base';
import type { Domain } from '../libvirt/domain.ts';
import type { FrozenRun } from '../libvirt/frozen-backup.ts';
import { thawUntilThawed } from '../libvirt/thaw.ts';
import type { SnapshotNote } from './snapshot-journal.ts';

export type Quietness = {
  /** Whether the file systems of a running guest are frozen: else refused, if it can be, not at all. */
  readonly consistency: 'require' | 'prefer' | 'never';
  /** For the agent's answer to each of freeze and thaw. */
  readonly agentTimeoutMs: number;
};

export type Taken = SnapshotNote & {
  /** How long the guest's file systems stood still; undefined when they were not frozen. */
  readonly frozenMs: number | undefined;
};

/** What came of freeze, snapshot and thaw, by one process that thaws also when we are killed. */
export type FrozenAnswer = Pick<FrozenRun, 'frozen' | 'thawed' | 'frozenMs'> & {
  readonly answered: true | HoldfastError;
};

const THAW_LIMIT_MS = 60_000;

/**
 * @param request.undo removes a snapshot that was to be frozen and is not
 * @throws guest_agent_missing, guest_agent_unresponsive, vm_busy, what `take` throws
 */
export async function atQuietMoment(
  request: Quietness & {
    readonly domain: Domain;
    readonly take: () => Promise<unknown>;
    readonly takeFrozen: () => Promise<FrozenAnswer>;
    readonly undo: () => Promise<unknown>;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Taken> {
  const { domain, consistency, take, takeFrozen, undo } = request;
  if (consistency === 'never') {
    await unlessBusy(domain, take);
    return { consistency: 'crash', reason: 'not asked for more', frozenMs: undefined };
  }
  // An agent that is not there is known without freezing anything, and a snapshot that would be refused is not taken.
  const absent = await agentProblem(request);
  if (absent && consistency === 'require') throw absent;
  if (absent) {
    await unlessBusy(domain, take);
    return { consistency: 'crash', reason: absent.message, frozenMs: undefined };
  }
  const { frozen, thawed, frozenMs, answered } = await takeFrozen();
  if (frozen instanceof HoldfastError || thawed instanceof HoldfastError) await thawSurely(domain);
  if (answered !== true) throw busyError(domain, answered);
  if (!(frozen instanceof HoldfastError)) return { consistency: 'filesystem', reason: null, frozenMs };
  if (consistency === 'prefer') return { consistency: 'crash', reason: frozen.message, frozenMs: undefined };
  await undo();
  throw frozen;
}

async function agentProblem(request: {
  readonly domain: Domain;
  readonly agentTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}): Promise<HoldfastError | undefined> {
  const { domain, agentTimeoutMs, signal } = request;
  try {
    await domain.agent.ping({ timeoutMs: agentTimeoutMs, signal });
    return undefined;
  } catch (error) {
    if (error instanceof HoldfastError && signal?.aborted !== true) return error;
    throw error;
  }
}

/** @throws guest_agent_unresponsive */
async function thawSurely(domain: Domain): Promise<void> {
  if (await thawUntilThawed({ domain, timeoutMs: THAW_LIMIT_MS })) return;
  throw new HoldfastError('guest_agent_unresponsive', `${domain.name} may be frozen: its agent does not say`, {
    remedy: `Look at the guest; thaw it with virsh domfsthaw ${domain.name}.`,
  });
}

export async function unlessBusy<Result>(domain: Domain, call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof HoldfastError ? busyError(domain, error) : error;
  }
}

/** A backup puts a filter on top of each node, so that it is no root any more; other jobs block it. */
function busyError(domain: Domain, error: HoldfastError): HoldfastError {
  const isQemus = ['qemu_failed', 'libvirt_failed', 'vm_state_invalid'].includes(error.code);
  if (!isQemus || !/Need a root block node|in use by block job|active block job|is busy/i.test(error.message)) {
    return error;
  }
  return new HoldfastError('vm_busy', `A backup or another job works with the disks of ${domain.name}`, {
    cause: error,
    remedy: 'Wait for it to end (virsh domjobinfo, virsh blockjob), and try again.',
    facts: { vm: domain.name },
  });
}
