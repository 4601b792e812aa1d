/**
 * Backup of a running machine. The order holds it together: the record that the guest may be frozen before the freeze; thaw
 * right after the job has begun; the new checkpoint counts once the point is committed, and only then the old one goes.
 */
import { HoldfastError, hasCode, TiB } from '@holdfast/base';
import { type BackupDisk, type BackupOutcome, backup } from '@holdfast/engine';
import { openBlockSource } from '@holdfast/hypervisor';
import { describeDomain, exportedBitmap, liveBitmaps, processOwner } from '@holdfast/hypervisor/libvirt';
import { type BackupBase, checkpointMark, chooseBase, newCheckpointName, withoutCheckpoint } from './backup-base.ts';
import type { MachineBackupOutcome, MachineBackupWork } from './backup-machine.ts';
import { captureConfiguration } from './capture-configuration.ts';
import { bitmapsByDisk, removeStaleCheckpoints, removeUnfinishedCheckpoint } from './checkpoint-care.ts';
import { FreezeRecord } from './freeze-record.ts';
import { encodeGuestConfiguration } from './guest-configuration.ts';
import { beginLiveJob, endLiveJob, explainLoss, type Freeze, type LiveJob } from './live-job.ts';
import { isTracked, type MachineDisk, selectMachineDisks } from './machine-disks.ts';
import { closeHook, lessThanWanted, type Quiet, quiesce } from './quiesce.ts';
import { makeScratch } from './scratch.ts';
import { watchScratch } from './scratch-watch.ts';

/** Of a disk whose size QEMU does not tell: scratch space is asked for as for a large one. */
const UNKNOWN_SIZE_BYTES = TiB;

type Prepared = {
  readonly work: MachineBackupWork;
  readonly mark: string;
  readonly guestConfiguration: Buffer;
  readonly job: LiveJob;
  readonly record: FreezeRecord;
};

type Begun = {
  readonly base: BackupBase;
  readonly frozen: Freeze;
  readonly consistency: BackupConsistency;
  readonly takenAtMs: number;
  readonly warnings: readonly string[];
};

type BackupConsistency = 'application' | 'filesystem' | 'crash';

/** @throws see backupMachine */
export async function backupRunningMachine(work: MachineBackupWork): Promise<MachineBackupOutcome> {
  const { options, domain } = work;
  const { repository, resource, signal } = options;
  // Each is a process that mostly waits for libvirt.
  const [liveXml, images, checkpoints] = await Promise.all([
    domain.xml({ which: 'live', signal }),
    liveBitmaps(domain, { signal }),
    domain.checkpoints.list({ signal }),
  ]);
  const description = describeDomain(liveXml);
  const disks = selectMachineDisks(description, options.disks).map(
    (disk): MachineDisk => ({ ...disk, hasOldImage: images.get(disk.alias ?? '')?.isOld ?? false }),
  );
  const mark = checkpointMark(repository, resource);
  const base = await chooseBase({
    repository,
    resource,
    disks,
    selection: options.disks,
    checkpoints: new Set(checkpoints),
    bitmaps: bitmapsByDisk(disks, images),
    isFull: options.isFull,
    restoredAt: description.restoredAt,
    signal,
  });
  await removeStaleCheckpoints({ domain, mark, keep: base.checkpoint, seen: { checkpoints, images }, signal });
  const configuration = await captureConfiguration({ domain, description, signal });
  const sizes = disks.map(({ alias = '' }) => images.get(alias)?.sizeBytes);
  await using scratch = await makeScratch({
    parent: options.scratchDirectory,
    owner: processOwner(liveXml),
    disksBytes: sizes.reduce<number>((sum, size) => sum + (size ?? UNKNOWN_SIZE_BYTES), 0),
  });
  const prepared: Prepared = {
    work,
    mark,
    guestConfiguration: encodeGuestConfiguration(configuration),
    job: { domain, scratch, checkpoint: disks.some((disk) => isTracked(disk)) ? newCheckpointName(mark) : undefined },
    record: recordOf(work, scratch.directory),
  };
  let outcome: BackupOutcome;
  let begun: Begun;
  try {
    begun = await begin(prepared, base);
    outcome = await transfer(prepared, begun);
  } catch (error) {
    const cause = await explainLoss(prepared.job, error).catch(() => error);
    await undo(prepared, cause).catch(() => undefined);
    throw cause;
  }
  const left = await finish(prepared);
  return {
    point: outcome.point,
    warnings: [...begun.warnings, ...outcome.warnings, ...left],
    frozenMs: begun.frozen.frozenMs,
  };
}

/** Afterwards the job runs and the guest goes on. */
async function begin(prepared: Prepared, base: BackupBase): Promise<Begun> {
  const { work, record } = prepared;
  const { options, domain, status } = work;
  const { consistency: policy, hook, repository, signal } = options;
  const quiet = await quiesce({ domain, status, policy, hook, record, signal });
  const warnings = [...quiet.warnings];
  let begun: { base: BackupBase; frozen: Freeze };
  try {
    begun = await beginOrInFull(prepared, base, quiet);
  } finally {
    if (quiet.isHookOpen) warnings.push(...(await closeHook({ domain, hook, record })));
  }
  const takenAtMs = repository.clock.nowMs();
  const { freezeError, thawError } = begun.frozen;
  if (freezeError || thawError) await record.thaw();
  else if (quiet.canFreeze) await record.close();
  if (freezeError) {
    if (policy === 'require') throw freezeError;
    warnings.push(lessThanWanted(freezeError));
  }
  const isFrozen = quiet.canFreeze && freezeError === undefined;
  const consistency = !isFrozen ? 'crash' : quiet.isHookDone ? 'application' : 'filesystem';
  return { ...begun, consistency, takenAtMs, warnings };
}

/** A checkpoint that libvirt does not accept after all costs a full read, not the point. */
async function beginOrInFull(
  prepared: Prepared,
  base: BackupBase,
  quiet: Quiet,
): Promise<{ base: BackupBase; frozen: Freeze }> {
  const { work, job, mark, record } = prepared;
  const { domain, options } = work;
  const { signal } = options;
  const attempt = async (base: BackupBase): Promise<{ base: BackupBase; frozen: Freeze }> => {
    const beforeBegin = async (): Promise<void> => await record.open(quiet.canFreeze ? nowOf(work) : null);
    const frozen = await beginLiveJob({ job, base, isToFreeze: quiet.canFreeze, beforeBegin, signal });
    return { base, frozen };
  };
  try {
    return await attempt(base);
  } catch (error) {
    if (!hasCode(error, 'checkpoint_inconsistent', 'checkpoint_not_found')) throw error;
    if (base.checkpoint === undefined) throw error;
    await record.thaw();
    await removeStaleCheckpoints({ domain, mark, keep: undefined, signal });
    return await attempt(withoutCheckpoint(base, error.code));
  }
}

/** Reads the disks from the job into a point. */
async function transfer({ work, job, guestConfiguration }: Prepared, begun: Begun): Promise<BackupOutcome> {
  const { options } = work;
  const { base, consistency, takenAtMs } = begun;
  await using watch = watchScratch(job.scratch);
  const signal = AbortSignal.any([watch.signal, ...(options.signal ? [options.signal] : [])]);
  await using stack = new AsyncDisposableStack();
  const address = { kind: 'unix', socketPath: job.scratch.socketPath } as const;
  const disks: BackupDisk[] = [];
  for (const { disk, since, fallbackReason } of base.disks) {
    const name = disk.target;
    const bitmap = since === undefined ? undefined : exportedBitmap(name);
    const source = await openBlockSource({ location: { kind: 'nbd', address, exportName: name }, bitmap, signal });
    stack.use(source);
    disks.push({
      name,
      source,
      changed: source.changed?.({ signal }),
      fallbackReason,
      bitmap: isTracked(disk) ? job.checkpoint : undefined,
    });
  }
  return await backup({
    repository: options.repository,
    resource: options.resource,
    disks,
    parent: base.parent,
    mayDisksDiffer: base.mayDisksDiffer,
    takenAtMs,
    consistency,
    label: options.label,
    guestConfiguration,
    level: options.level,
    onProgress: options.onProgress,
    signal,
  });
}

/** The point exists: whatever goes wrong now costs a full read at most. @returns what to tell the user */
async function finish({ work, job, mark, record }: Prepared): Promise<readonly string[]> {
  const { domain } = work;
  try {
    await endLiveJob(job);
    await removeStaleCheckpoints({ domain, mark, keep: job.checkpoint });
    await record.end();
    return [];
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return [`The backup job of ${domain.name} could not be put away (${error.message}); the next command tries again.`];
  }
}

/** After a failure. What cannot be undone now stays in the record, for the next command. */
async function undo({ work, job, record }: Prepared, error: unknown): Promise<void> {
  const { domain, status: before } = work;
  await record.thaw();
  await endLiveJob(job);
  if (before.state === 'running' && hasCode(error, 'scratch_full')) {
    // QEMU stops the guest when there is no room for what it would overwrite; nothing of it is lost.
    const { state, reason } = await domain.status();
    if (state === 'paused' && reason === 'I/O error') await domain.resume();
  }
  await record.end();
  if (job.checkpoint !== undefined) await removeUnfinishedCheckpoint(domain, job.checkpoint);
}

function recordOf({ options, domain, claim, held }: MachineBackupWork, scratch: string): FreezeRecord {
  const { libvirt, repository } = options;
  return new FreezeRecord({
    domain,
    claim,
    held,
    work: {
      uri: libvirt.uri.text,
      uuid: domain.uuid,
      name: domain.name,
      pid: process.pid,
      started_at: new Date(repository.clock.nowMs()).toISOString(),
      scratch,
    },
  });
}

function nowOf({ options }: MachineBackupWork): string {
  return new Date(options.repository.clock.nowMs()).toISOString();
}
