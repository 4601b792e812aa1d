/** What tests of machine snapshots share: a guest with two qcow2 disks, whose writer is busy on both. */
import { join } from 'node:path';
import { systemClock } from '@holdfast/base';
import { type LibvirtHost, libvirtHostForTests, type TinyGuest } from '@holdfast/testing/guests';
import { type Domain, Libvirt } from '../libvirt/index.ts';
import { SnapshotJournal } from './index.ts';

export type SnapshotBed = {
  readonly host: LibvirtHost;
  /** Defined, not started. */
  readonly guest: TinyGuest;
  readonly domain: Domain;
  readonly journal: SnapshotJournal;
};

/** For `createVmSnapshot`. */
export const usual = {
  consistency: 'prefer',
  agentTimeoutMs: 10_000,
  allowStall: false,
  clock: systemClock,
} as const;

/** Gone after the tests of the file. @param devicesOn XML of more devices */
export async function startSnapshotBed(devicesOn?: (host: LibvirtHost) => string): Promise<SnapshotBed> {
  const host = await libvirtHostForTests();
  const guest = await host.makeGuest({
    name: 'web',
    disks: [{ format: 'qcow2' }, { format: 'qcow2' }],
    writer: 5,
    ...(devicesOn && { devices: devicesOn(host) }),
  });
  const domain = await new Libvirt({ uri: host.uri }).domain(guest.name);
  return { host, guest, domain, journal: new SnapshotJournal({ stateDirectory: join(host.directory, 'state') }) };
}
