/**
 * How long a machine stands still for its snapshots (docs/adr/0011, 0012): 20 GiB of written disk, whose snapshot lies inside the
 * image, and 1 TiB, which gets an overlay. The writer puts a record on two small disks, each with fsync, pauses and begins
 * again; the longest gap of its time stamps while a snapshot is taken, or deleted, is the stall.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GiB, systemClock } from '@holdfast/base';
import { Libvirt } from '@holdfast/hypervisor/libvirt';
import { createVmSnapshot, deleteVmSnapshot, SnapshotJournal } from '@holdfast/hypervisor/snapshot';
import { type LibvirtHost, startLibvirtHost } from '@holdfast/testing/guests';
import { type Figure, figure } from '../promise/figure.ts';
import { run } from '../process/run.ts';
import { gapsIn, type Span, spanOf } from './guest-spans.ts';
import { journalTimes } from './journal-times.ts';
import type { VmGround, VmTrial } from './trial.ts';

const writerPauseMs = 5;
/** Before and after each: what comes of it must not fall into the next. */
const idleMs = 1500;
const snapshotsARound = 3;
/** What the guest writes onto the large disk between a snapshot and its deletion. */
const writtenMiB = 48;

const cases = [
  { title: '20 GiB', sizeBytes: 20 * GiB, kind: 'internal' },
  { title: '1 TiB', sizeBytes: 1024 * GiB, kind: 'layer' },
] as const;

export const snapshotStall: VmTrial = {
  id: 'snapshot',
  title: 'how long a machine stands still for its snapshots',
  run: async (ground) => {
    await using host = await startLibvirtHost();
    const figures: Figure[] = [];
    for (const one of cases) figures.push(...(await measure(host, one, ground)));
    return figures;
  },
};

async function measure(
  host: LibvirtHost,
  { title, sizeBytes, kind }: (typeof cases)[number],
  { dir, rounds, note, signal }: VmGround,
): Promise<readonly Figure[]> {
  const large = join(host.directory, `${kind}.qcow2`);
  const create = ['create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata'];
  await run({ command: ['qemu-img', ...create, large, String(sizeBytes)], signal });
  const devices = `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='${large}'/><target dev='vdz' bus='virtio'/></disk>`;
  const disks = [{ format: 'qcow2' }, { format: 'qcow2' }] as const;
  const guest = await host.makeGuest({ name: `bench-${kind}`, disks, writer: writerPauseMs, devices });
  await guest.start();
  const domain = await new Libvirt({ uri: host.uri }).domain(guest.name);
  const journal = new SnapshotJournal({ stateDirectory: join(dir, 'state') });
  const wish = { consistency: 'prefer', agentTimeoutMs: 10_000, allowStall: false, clock: systemClock } as const;
  const spans: Record<'idle' | 'created' | 'deleted', Span[]> = { idle: [], created: [], deleted: [] };
  for (let count = 0; count < rounds * snapshotsARound; count += 1) {
    const name = `s${count}`;
    spans.idle.push(await spanOf(host, guest, async () => await sleep(idleMs, undefined, { signal })));
    const created = await spanOf(host, guest, async () => {
      const made = await createVmSnapshot({ domain, journal, name, ...wish, signal });
      if (made.kind !== kind) throw new Error(`the snapshot of ${title} is ${made.kind}`);
      note(`${title} ${made.kind}: frozen ${made.frozenMs?.toFixed(0)} ms`);
    });
    spans.created.push(created);
    const args = ['if=/dev/urandom', 'of=/dev/vdc', 'bs=1M', `count=${writtenMiB}`, 'conv=fsync'];
    await domain.agent.run({ program: 'dd', args, timeoutMs: 120_000, signal });
    await sleep(idleMs, undefined, { signal });
    spans.deleted.push(
      await spanOf(host, guest, async () => {
        await deleteVmSnapshot({ domain, journal, name, allowStall: false, signal });
      }),
    );
  }
  await guest.destroy();
  const times = await journalTimes({ image: guest.images[0] ?? '', dir, signal });
  await guest.undefine();
  const longest = (which: keyof typeof spans): number => Math.max(...gapsIn(times, spans[which]));
  note(`${title}: longest gap of an idle guest ${longest('idle').toFixed(0)} ms`);
  return (['created', 'deleted'] as const).map((which) =>
    figure({
      title: `${title}: longest gap of the writer while a snapshot is ${which}`,
      shown: `${spans[which].length} snapshots, ${kind === 'layer' ? 'overlays' : 'inside the images'}`,
      value: longest(which) / 1000,
      limit: { atMost: 1 },
      unit: 's',
    }),
  );
}
