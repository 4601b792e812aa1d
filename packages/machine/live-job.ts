/**
 * A backup job of a running machine: all its disks at one moment, offered over NBD, with a checkpoint from which the next
 * backup counts. The job lives in QEMU; a guest that overwrites what was not read yet fills scratch space until it ends.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import { backupXml, checkpointXml, type Domain, type FrozenBackup } from '@holdfast/hypervisor/libvirt';
import type { BackupBase } from './backup-base.ts';
import { isTracked } from './machine-disks.ts';
import type { Scratch } from './scratch.ts';

/** For the agent to freeze, and to thaw: a guest with much to write needs seconds. */
const AGENT_TIMEOUT_MS = 20_000;

/**
 * libvirt may wait for half a minute before it begins a job or refuses it, and a guest that is frozen for so long is a
 * guest that is down. Counted from before the freeze.
 */
const FROZEN_LIMIT_MS = 15_000;

/** What became of the guest while the job began. */
export type Freeze = {
  /** Why the guest was not frozen at that moment. */
  readonly freezeError?: HoldfastError | undefined;
  /** Set when it was not seen to thaw: it may be frozen, now or later. */
  readonly thawError?: HoldfastError | undefined;
  /** Undefined when it was not frozen. */
  readonly frozenMs?: number | undefined;
};

export type LiveJob = {
  readonly domain: Domain;
  readonly scratch: Scratch;
  /** The new checkpoint; undefined when no disk can have one. */
  readonly checkpoint: string | undefined;
};

/**
 * Waits for other jobs of the machine to end.
 * @param request.beforeBegin called before the guest may freeze, each time
 * @throws vm_busy, checkpoint_inconsistent, checkpoint_not_found, other libvirt errors; the guest may be frozen then
 */
export async function beginLiveJob(request: {
  readonly job: LiveJob;
  readonly base: BackupBase;
  readonly isToFreeze: boolean;
  readonly beforeBegin: () => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}): Promise<Freeze> {
  const { job, base, isToFreeze, beforeBegin, signal } = request;
  const { domain, scratch, checkpoint } = job;
  const documents = {
    backupXml: backupXml({
      socketPath: scratch.socketPath,
      disks: base.disks.map(({ disk, since }) => ({
        name: disk.target,
        since,
        scratchPath: scratch.fileOf(disk.target),
      })),
    }),
    ...(checkpoint !== undefined && {
      checkpointXml: checkpointXml({
        name: checkpoint,
        disks: base.disks.filter(({ disk }) => isTracked(disk)).map(({ disk }) => disk.target),
      }),
    }),
  };
  return await domain.whenFree(
    async () => {
      // Asked first: libvirt would wait for half a minute, with a frozen guest.
      if (await domain.hasJob({ signal })) throw new HoldfastError('vm_busy', `${domain.name} has a job already.`);
      await beforeBegin();
      signal?.throwIfAborted();
      if (!isToFreeze) {
        await domain.beginBackup(documents);
        return {};
      }
      return await beginFrozen(domain, documents);
    },
    { signal },
  );
}

/** @throws what keeps the job from beginning; the guest may be frozen then */
async function beginFrozen(
  domain: Domain,
  documents: { readonly backupXml: string; readonly checkpointXml?: string },
): Promise<Freeze> {
  let earlyThaw: Promise<unknown> | undefined;
  const watchdog = setTimeout(() => {
    earlyThaw = domain.agent.thaw({ timeoutMs: AGENT_TIMEOUT_MS }).catch(() => undefined);
  }, FROZEN_LIMIT_MS);
  let answer: FrozenBackup;
  try {
    answer = await domain.beginFrozenBackup({ ...documents, agentTimeoutMs: AGENT_TIMEOUT_MS });
  } finally {
    clearTimeout(watchdog);
    await earlyThaw;
  }
  const { begun, frozen, thawed, frozenMs } = answer;
  if (begun !== true) throw begun;
  const thawError = thawed instanceof HoldfastError ? thawed : undefined;
  const freezeError = frozen instanceof HoldfastError ? frozen : whyNotFrozen(domain, frozen, earlyThaw !== undefined);
  return { freezeError, thawError, frozenMs: freezeError ? undefined : frozenMs };
}

function whyNotFrozen({ name }: Domain, fileSystems: number, isThawedEarly: boolean): HoldfastError | undefined {
  if (isThawedEarly) {
    const limit = `${FROZEN_LIMIT_MS / 1000} s`;
    return new HoldfastError('libvirt_timeout', `${name} was thawed after ${limit}, before its backup had begun`);
  }
  if (fileSystems > 0) return undefined;
  return new HoldfastError('guest_command_failed', `the guest agent of ${name} found no file system to freeze`);
}

/** The normal end of a job. Only of this one: another may run by now. @throws libvirt errors */
export async function endLiveJob({ domain, scratch }: LiveJob): Promise<void> {
  if ((await domain.backupSocket()) !== scratch.socketPath) return;
  try {
    await domain.abortJob();
  } catch (error) {
    if (!hasCode(error, 'vm_state_invalid')) throw error;
  }
}

/** What a read error means when the job is gone: not that the reading failed. */
export async function explainLoss({ domain, scratch }: LiveJob, error: unknown): Promise<unknown> {
  if (!hasCode(error, 'nbd_failed', 'source_not_found', 'bitmap_not_found')) return error;
  const { state, reason } = await domain.status();
  if ((await domain.backupSocket()) === scratch.socketPath) return error;
  const detail = `The backup job of ${domain.name} ended too early; the machine is ${state} (${reason}).`;
  return new HoldfastError('backup_job_ended', detail, { cause: error, facts: { vm: domain.name, state } });
}
