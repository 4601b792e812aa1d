/** What the stories of machines share: a libvirt host, a repository, backups, and the proof that a point is right. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { initRepository, openRepository, type Repository, type RestorePoint } from '@holdfast/engine';
import { restoreDisk } from '@holdfast/engine/restore';
import { openBlockTarget } from '@holdfast/hypervisor/target';
import { Libvirt } from '@holdfast/hypervisor/libvirt';
import { LocalStore } from '@holdfast/storage';
import { type JournalReport, type LibvirtHost, readJournals, startLibvirtHost } from '@holdfast/testing/guests';
import { backupMachine, type MachineBackupOptions, type MachineBackupOutcome } from './backup-machine.ts';

export interface MachineBed extends AsyncDisposable {
  readonly host: LibvirtHost;
  readonly libvirt: Libvirt;
  readonly repository: Repository;
  readonly stateDirectory: string;
  readonly scratchDirectory: string;
  /** All disks, crash-consistent where the agent is missing; options as they are given. */
  backup(machine: string, options?: Partial<MachineBackupOptions>): Promise<MachineBackupOutcome>;
  /** Every disk of a point as a raw file; the files in the order of the point's disks. */
  restore(point: RestorePoint): Promise<readonly string[]>;
}

const hook = { path: '/etc/holdfast/quiesce', timeoutMs: 20_000 };

export async function startMachineBed(): Promise<MachineBed> {
  const host = await startLibvirtHost();
  const store = await LocalStore.open({ directory: join(host.directory, 'repository'), create: true });
  await initRepository({ store });
  const repository = await openRepository({ store });
  const stateDirectory = join(host.directory, 'state');
  const scratchDirectory = join(stateDirectory, 'scratch');
  const libvirt = new Libvirt({ uri: host.uri });
  return {
    host,
    libvirt,
    repository,
    stateDirectory,
    scratchDirectory,
    backup: async (machine, options = {}) =>
      await backupMachine({
        libvirt,
        machine,
        repository,
        resource: `instances/${machine}`,
        disks: 'all',
        consistency: 'prefer',
        hook,
        isFull: false,
        stateDirectory,
        scratchDirectory,
        ...options,
      }),
    restore: async (point) => {
      const directory = join(host.directory, 'restored', point.manifest.id);
      await mkdir(directory, { recursive: true });
      const files: string[] = [];
      for (const { name, size_bytes: sizeBytes } of point.manifest.disks) {
        const path = join(directory, `${name}.raw`);
        await rm(path, { force: true });
        const location = { kind: 'file', path } as const;
        await using target = await openBlockTarget({ location, format: 'raw', sizeBytes, overwrite: false });
        await restoreDisk({ repository, point, disk: name, target });
        files.push(path);
      }
      return files;
    },
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  };
}

/** No record is torn or missing, and the disks agree on the moment. @returns the last record of the first disk */
export async function proveJournals(files: readonly string[]): Promise<number> {
  const reports = await readJournals(files);
  let before: JournalReport | undefined;
  for (const report of reports) {
    const { bad, gaps, first } = report;
    assert.deepEqual({ bad, gaps, first }, { bad: 0, gaps: 0, first: 1 }, JSON.stringify(reports));
    if (before) assert.ok([before.last, before.last - 1].includes(report.last), JSON.stringify(reports));
    before = report;
  }
  return reports[0]?.last ?? 0;
}

/** Restored disks are what the images of a machine hold that stands still (paused, or off). */
export async function assertSameContent(restored: readonly string[], images: readonly string[]): Promise<void> {
  assert.equal(restored.length, images.length);
  for (const [index, file] of restored.entries()) {
    const image = images[index] ?? '';
    const format = image.endsWith('.raw') ? 'raw' : 'qcow2';
    await promisify(execFile)('qemu-img', ['compare', '-U', '-f', 'raw', '-F', format, file, image]);
  }
}

/** What the guest's disks have of our checkpoints, as QEMU sees it. */
export async function checkpointNames(host: LibvirtHost, machine: string): Promise<readonly string[]> {
  return (await host.virsh('checkpoint-list', machine, '--name')).split(/\s+/).filter((name) => name !== '');
}
