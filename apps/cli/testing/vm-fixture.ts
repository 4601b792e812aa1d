/** What tests of `holdfast vm` share: a libvirt host, and the command told to work on it alone. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type JournalReport, type LibvirtHost, libvirtHostForTests, proveJournals } from '@holdfast/testing/guests';
import { type Environment, holdfast } from './run-holdfast.ts';

export type VmBed = {
  readonly host: LibvirtHost;
  /** `--connect` and the host's URI. */
  readonly connect: readonly [string, string];
  /** Claims and scratch space in the host's directory. */
  readonly environment: Environment;
};

/** Gone after the tests of the file. */
export async function startVmBed(): Promise<VmBed> {
  const host = await libvirtHostForTests();
  return {
    host,
    connect: ['--connect', host.uri],
    environment: { HOLDFAST_STATE_DIRECTORY: join(host.directory, 'state') },
  };
}

/** A repository in the host's directory. @returns `--storage` and its URL */
export async function makeRepository(
  { host }: VmBed,
  { name = 'repository' } = {},
): Promise<readonly [string, string]> {
  const storage = ['--storage', `file://${join(host.directory, name)}`] as const;
  await holdfast(['repo', 'init', ...storage]);
  return storage;
}

/** Restores a point disk by disk and reads the journals back. */
export async function provePoint(
  { host }: VmBed,
  {
    storage,
    point,
    disks,
  }: { readonly storage: readonly string[]; readonly point: string; readonly disks: readonly string[] },
): Promise<readonly JournalReport[]> {
  const directory = join(host.directory, `restored-${point}`);
  await mkdir(directory);
  const files = disks.map((disk) => join(directory, disk));
  for (const disk of disks) {
    await holdfast(['restore', ...storage, point, '--disk', disk, '--to', join(directory, disk)]);
  }
  return await proveJournals(files);
}
