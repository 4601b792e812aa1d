/**
 * One restore point of a virtual machine. Whoever does this has the machine for himself on this host; what somebody left
 * behind who died at it is put in order first.
 */
import { HoldfastError } from '@holdfast/base';
import type { BackupProgress, CompressionLevel, Repository, RestorePoint } from '@holdfast/engine';
import type { Domain, DomainStatus, Libvirt } from '@holdfast/hypervisor/libvirt';
import type { GuestHook } from './guest-hook.ts';
import { settleMachine } from './leftovers.ts';
import { backupRunningMachine } from './live-backup.ts';
import { claimMachine, type MachineClaim } from './machine-claim.ts';
import type { DiskSelection } from './machine-disks.ts';
import { backupStoppedMachine } from './offline-backup.ts';
import type { ConsistencyPolicy } from './quiesce.ts';
import type { HeldGuest } from './work-record.ts';

export type MachineBackupOptions = {
  readonly libvirt: Libvirt;
  /** Name or UUID. */
  readonly machine: string;
  readonly repository: Repository;
  /** `instances/NAME` */
  readonly resource: string;
  readonly disks: DiskSelection;
  readonly consistency: ConsistencyPolicy;
  readonly hook: GuestHook;
  /** Begin a new series, reading everything. */
  readonly isFull: boolean;
  readonly label?: string | undefined;
  readonly level?: CompressionLevel | undefined;
  /** Where claims are kept: the same for everybody who works on the machines of this host. */
  readonly stateDirectory: string;
  /** Where QEMU keeps what the guest overwrites meanwhile. */
  readonly scratchDirectory: string;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

export type MachineBackupOutcome = {
  readonly point: RestorePoint;
  readonly warnings: readonly string[];
  /** How long the guest stood still; undefined when it was not frozen. */
  readonly frozenMs: number | undefined;
};

/** What every way to back a machine up is given. */
export type MachineBackupWork = {
  readonly options: MachineBackupOptions;
  readonly domain: Domain;
  readonly claim: MachineClaim;
  readonly status: DomainStatus;
  /** By somebody before us, whose guest does not answer. */
  readonly held: HeldGuest;
};

/**
 * @throws vm_not_found, vm_disk_not_found, vm_state_invalid, resource_busy, vm_busy, scratch_full, scratch_unusable,
 *   backup_job_ended, vm_started, vm_unsupported, what `consistency: 'require'` cannot have (quiesce.ts), storage errors, libvirt errors. Then there is
 *   no point, the guest is thawed, and nothing is left of the job. Abort: the same.
 */
export async function backupMachine(options: MachineBackupOptions): Promise<MachineBackupOutcome> {
  const { libvirt, machine, stateDirectory, signal } = options;
  const domain = await libvirt.domain(machine, { signal });
  await using claim = await claimMachine({ stateDirectory, uuid: domain.uuid, name: domain.name });
  const { told, held } = await settleMachine({ domain, claim, signal });
  const status = await domain.status({ signal });
  const outcome = await backupInState({ options, domain, claim, status, held });
  return { ...outcome, warnings: [...told, ...outcome.warnings] };
}

async function backupInState(work: MachineBackupWork): Promise<MachineBackupOutcome> {
  const { domain, status } = work;
  switch (status.state) {
    case 'running':
    case 'paused':
    case 'suspended':
      return await backupRunningMachine(work);
    case 'shut_off':
    case 'crashed':
      return await backupStoppedMachine(work);
    case 'shutting_down':
    case 'unknown':
      throw new HoldfastError('vm_state_invalid', `${domain.name} is ${status.state} and cannot be backed up now.`, {
        remedy: 'Wait until it is off, or start it.',
      });
    default:
      return status.state satisfies never;
  }
}
