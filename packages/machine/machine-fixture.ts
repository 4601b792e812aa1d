/** What the stories of machines share: a libvirt host, a repository, backups, and the proof that a point is right. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type ErrorCode, hasCode } from '@holdfast/base';
import { initRepository, openRepository, type Repository, type RestorePoint } from '@holdfast/engine';
import { restoreDisk } from '@holdfast/engine/restore';
import { openBlockTarget } from '@holdfast/hypervisor/target';
import { type Domain, Libvirt } from '@holdfast/hypervisor/libvirt';
import { LocalStore } from '@holdfast/storage';
import {
  type GuestOptions,
  type LibvirtHost,
  libvirtHostForTests,
  proveJournals,
  type TinyGuest,
} from '@holdfast/testing/guests';
import { backupMachine, type MachineBackupOptions, type MachineBackupOutcome } from './backup-machine.ts';

type BackupInput = Partial<MachineBackupOptions>;

/** A libvirt host with a machine and a repository, for all the tests of a file. Where no machine is named, it is `web`. */
export interface MachineBed {
  readonly host: LibvirtHost;
  readonly libvirt: Libvirt;
  readonly repository: Repository;
  /** `web`: defined, not started. */
  readonly guest: TinyGuest;
  readonly stateDirectory: string;
  readonly scratchDirectory: string;
  /** Another one, which has no content yet. */
  makeRepository(): Promise<Repository>;
  /** All disks, crash-consistent where the agent is missing; options as they are given. */
  backup(options?: BackupInput): Promise<MachineBackupOutcome>;
  /** Something happens when most of the disks is still to be read. */
  backupMeanwhile(
    event: () => Promise<unknown>,
    options?: BackupInput,
  ): Promise<PromiseSettledResult<MachineBackupOutcome>>;
  /** Every disk of a point as a raw file; the files in the order of the point's disks. */
  restore(point: RestorePoint, from?: Repository): Promise<readonly string[]>;
  /** By the journals of the guest. @returns the last record */
  prove(point: RestorePoint, from?: Repository): Promise<number>;
  /** The next point, proved whole; nothing of its backup is left. */
  nextPoint(options?: BackupInput): Promise<RestorePoint>;
  /** The next point of a machine that stands still, which is exactly what its images hold. */
  exactPoint(images: readonly string[], options?: BackupInput): Promise<RestorePoint>;
  /** Nothing of a backup is left, but for what the point needs. */
  assertTidy(machine?: string): Promise<void>;
}

const hook = { path: '/etc/holdfast/quiesce', timeoutMs: 20_000 };

/** Of `makeLargeDisk`: the guest leaves it alone. */
const LARGE_DISK = 'vdz';

/**
 * Gone after the tests of the file.
 * @param options of `web`, which has two qcow2 disks unless told otherwise
 */
export async function startMachineBed(
  options: GuestOptions & {
    /** XML of more devices. */
    readonly devicesOn?: (host: LibvirtHost) => Promise<string>;
  } = {},
): Promise<MachineBed> {
  const host = await libvirtHostForTests();
  const { devicesOn, ...guestOptions } = options;
  const guest = await host.makeGuest({
    name: 'web',
    disks: [{ format: 'qcow2' }, { format: 'qcow2' }],
    ...(devicesOn && { devices: await devicesOn(host) }),
    ...guestOptions,
  });
  let repositories = 0;
  const makeRepository = async (): Promise<Repository> => {
    repositories += 1;
    const directory = join(host.directory, `repository-${repositories}`);
    const store = await LocalStore.open({ directory, create: true });
    await initRepository({ store });
    return await openRepository({ store });
  };
  const repository = await makeRepository();
  const stateDirectory = join(host.directory, 'state');
  const scratchDirectory = join(stateDirectory, 'scratch');
  const libvirt = new Libvirt({ uri: host.uri });
  const bed: MachineBed = {
    host,
    libvirt,
    repository,
    guest,
    makeRepository,
    stateDirectory,
    scratchDirectory,
    backup: async ({ machine = 'web', ...input } = {}) =>
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
        ...input,
      }),
    backupMeanwhile: async (event, input = {}) => {
      const gate = gateBefore(input.repository ?? repository);
      const settled = Promise.allSettled([bed.backup({ ...input, repository: gate.repository })]);
      try {
        await Promise.race([gate.reached, settled]);
        await event();
      } finally {
        gate.open();
      }
      return (await settled)[0];
    },
    restore: async (point, from = repository) => {
      const directory = join(host.directory, 'restored', point.manifest.id);
      await mkdir(directory, { recursive: true });
      const files: string[] = [];
      for (const { name, size_bytes: sizeBytes } of point.manifest.disks) {
        const path = join(directory, `${name}.raw`);
        await rm(path, { force: true });
        const location = { kind: 'file', path } as const;
        await using target = await openBlockTarget({ location, format: 'raw', sizeBytes, overwrite: false });
        await restoreDisk({ repository: from, point, disk: name, target });
        files.push(path);
      }
      return files;
    },
    prove: async (point, from) => {
      const files = await bed.restore(point, from);
      const written = files.filter((_, index) => point.manifest.disks[index]?.name !== LARGE_DISK);
      return (await proveJournals(written))[0].last;
    },
    nextPoint: async (input = {}) => {
      const { point } = await bed.backup(input);
      await bed.prove(point, input.repository);
      await bed.assertTidy(input.machine);
      return point;
    },
    exactPoint: async (images, input = {}) => {
      const { point } = await bed.backup(input);
      await assertSameContent(await bed.restore(point, input.repository), images);
      await bed.assertTidy(input.machine);
      return point;
    },
    assertTidy: async (machine = 'web') => {
      const domain = await libvirt.domain(machine);
      assert.equal(await domain.backupSocket(), undefined);
      assert.equal(await domain.hasJob(), false);
      const scratch = await readdir(scratchDirectory).catch(() => []);
      const records = (await readdir(join(stateDirectory, 'machines'))).filter((name) => name.endsWith('.json'));
      assert.deepEqual({ scratch, records }, { scratch: [], records: [] });
    },
  };
  return bed;
}

/** How much of each disk was read, and why: `vda full bitmap_not_found`. */
export function kinds({ manifest }: RestorePoint): readonly string[] {
  return manifest.disks.map(({ name, actual, fallback_reason: why }) => `${name} ${actual}${why ? ` ${why}` : ''}`);
}

/** For `assert.rejects`. */
export function isCode(code: ErrorCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(hasCode(error, code), String(error));
    return true;
  };
}

/** No point was made, for this reason. */
export function assertFailed(result: PromiseSettledResult<unknown>, code: ErrorCode): void {
  assert.ok(result.status === 'rejected', 'a point was made');
  isCode(code)(result.reason);
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

/**
 * XML of a disk with random content, which a backup takes a while to read and to store. It has no file system: the
 * guest leaves it alone.
 */
export async function makeLargeDisk(
  host: LibvirtHost,
  options: { readonly name: string; readonly sizeMiB: number },
): Promise<string> {
  const path = join(host.directory, `${options.name}.qcow2`);
  const raw = `${path}.raw`;
  await promisify(execFile)('sh', ['-c', `head -c ${options.sizeMiB}M /dev/urandom > '${raw}'`]);
  await promisify(execFile)('qemu-img', ['convert', '-O', 'qcow2', raw, path]);
  await rm(raw);
  return `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
    <source file='${path}'/><target dev='${LARGE_DISK}' bus='virtio'/></disk>`;
}

type Gate = {
  readonly repository: Repository;
  /** The first pack is on its way: most of the disks is still to be read. */
  readonly reached: Promise<void>;
  open(): void;
};

/** The repository through a storage that takes no pack until the gate is opened, so that a backup is in its middle. */
function gateBefore(repository: Repository): Gate {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  const store = new Proxy(repository.store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      if (name !== 'put') return value.bind(target);
      return async (...args: readonly unknown[]): Promise<unknown> => {
        if (String(args[0]).includes('/data/')) {
          reached.resolve();
          await opened.promise;
        }
        return await Reflect.apply(value, target, args);
      };
    },
  });
  return { repository: { ...repository, store }, reached: reached.promise, open: () => opened.resolve() };
}

/** More than a boot and a mount make of themselves. */
const WRITES_OF_A_WRITER = 200;

/** Until a guest without an agent, or one that boots again, is seen to write records. */
export async function waitForWrites(host: LibvirtHost, machine = 'web'): Promise<void> {
  const count = async (): Promise<number> =>
    Number(/ wr_req (\d+)/.exec(await host.virsh('domblkstat', machine, 'vda'))?.[1]);
  const before = await count();
  while ((await count()) < before + WRITES_OF_A_WRITER) await sleep(100);
}

/** What libvirt knows of checkpoints. */
export async function checkpointNames(host: LibvirtHost, machine = 'web'): Promise<readonly string[]> {
  return (await host.virsh('checkpoint-list', machine, '--name')).split(/\s+/).filter((name) => name !== '');
}

/** What a shell in the guest prints. @throws AssertionError with its errors when it does not end with 0 */
export async function runInGuest(
  domain: Domain,
  script: string,
  { input, timeoutMs = 60_000 }: { readonly input?: string; readonly timeoutMs?: number } = {},
): Promise<string> {
  const run = { program: '/bin/sh', args: ['-c', script], timeoutMs, ...(input !== undefined && { input }) };
  const { exitCode, output, errors } = await domain.agent.run(run);
  assert.equal(exitCode, 0, errors);
  return output.trim();
}
