/**
 * An increment follows the change, not the disk: the same change on a disk of 5 GiB and on one of 20 GiB, both with all
 * their metadata allocated, and an increment of each in which nothing changed.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, GiB, MiB } from '@holdfast/base';
import { type LibvirtHost, startLibvirtHost, type TinyGuest } from '@holdfast/testing/guests';
import { spreadOf } from '../contest/summary.ts';
import { run } from '../process/run.ts';
import { figure } from '../promise/figure.ts';
import { writeLive } from './live-writes.ts';
import { type MachineBackup, MachineHoldfast } from './machine-holdfast.ts';
import { mixedChanges } from './material.ts';
import { secondsText, usageText, type VmGround, type VmTrial } from './trial.ts';

const sizes = { small: 5 * GiB, large: 20 * GiB } as const;
type Size = keyof typeof sizes;
const works = ['unchanged', 'changed'] as const;
type Work = (typeof works)[number];

/** 1 % of the large disk, in writes of 1 MiB. */
const changedMiB = Math.round((sizes.large / MiB) * 0.01);

type Measured = MachineBackup & { readonly size: Size; readonly work: Work };

export const changeNotDisk: VmTrial = {
  id: 'size',
  title: `increments: nothing changed, and the same ${changedMiB} MiB on disks of 5 and of 20 GiB`,
  run: async (ground) => {
    const { dir, rounds, note, signal } = ground;
    await using host = await startLibvirtHost();
    const small = await prepare({ ground, host, size: 'small' });
    const large = await prepare({ ground, host, size: 'large' });
    const measured: Measured[] = [];
    for (let round = 0; round < rounds; round += 1) {
      for (const work of works) {
        for (const { guest, holdfast, size } of round % 2 === 0 ? [small, large] : [large, small]) {
          if (work === 'changed') {
            const writes = mixedChanges({
              label: `vm-peers round ${round}`,
              count: changedMiB,
              diskBytes: sizes[size],
            });
            await writeLive({ host, guest: guest.name, disk: 1, writes, signal });
          }
          await run({ command: ['sync', '--file-system', dir], signal });
          await host.virsh('resume', guest.name);
          const made = await holdfast.backup(host, guest.name, 'incremental');
          await host.virsh('suspend', guest.name);
          measured.push({ ...made, size, work });
          const { usage, readBytes, putBytes } = made;
          const moved = `read ${formatBytes(readBytes)}, put ${formatBytes(putBytes)}`;
          note(`round ${round + 1} ${size} ${work}: ${usageText(usage)}, ${moved}`);
        }
      }
    }
    for (const { guest, holdfast, size } of [small, large]) {
      await guest.destroy();
      const last = measured.findLast((one) => one.size === size);
      await prove({ guest, holdfast, point: last?.point ?? '', dir, signal });
    }
    const median = (size: Size, work: Work, of: (one: Measured) => number): number =>
      spreadOf(measured.filter((one) => one.size === size && one.work === work).map(of)).median;
    const wall = ({ usage }: Measured): number => usage.wallMs;
    const unchangedMs = median('large', 'unchanged', wall);
    const times = [median('large', 'changed', wall), median('small', 'changed', wall)] as const;
    const put = ({ putBytes }: Measured): number => putBytes;
    const puts = [median('large', 'changed', put), median('small', 'changed', put)] as const;
    const readBytes = median('large', 'changed', (one) => one.readBytes);
    return [
      figure({
        title: 'nothing changed on a disk of 20 GiB',
        shown: `${secondsText(median('small', 'unchanged', wall))} on 5 GiB`,
        value: unchangedMs / 1000,
        limit: { atMost: 2 },
        unit: 's',
      }),
      figure({
        title: 'time of the same change, 20 GiB / 5 GiB',
        shown: `${secondsText(times[0])} / ${secondsText(times[1])}`,
        value: times[0] / times[1],
        limit: { atMost: 1.25 },
        unit: 'x',
      }),
      figure({
        title: 'bytes put of the same change, 20 GiB / 5 GiB',
        shown: `${formatBytes(puts[0])} / ${formatBytes(puts[1])}`,
        value: puts[0] / puts[1],
        limit: { atMost: 1.1 },
        unit: 'x',
      }),
      figure({
        title: 'bytes read / bytes changed, 20 GiB',
        shown: `${formatBytes(readBytes)} / ${changedMiB}.00 MiB`,
        value: readBytes / (changedMiB * MiB),
        limit: { atMost: 1.2 },
        unit: 'x',
      }),
    ];
  },
};

type Prepared = { readonly guest: TinyGuest; readonly holdfast: MachineHoldfast; readonly size: Size };

/** A guest that stands still, with a full backup. */
async function prepare(options: {
  readonly ground: VmGround;
  readonly host: LibvirtHost;
  readonly size: Size;
}): Promise<Prepared> {
  const { ground, host, size } = options;
  const { dir, signal, note } = ground;
  const guest = await host.makeGuest({ name: size, disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  const layout = ['-f', 'qcow2', '-o', 'preallocation=metadata'] as const;
  await run({ command: ['qemu-img', 'create', '-q', ...layout, guest.images[1] ?? '', String(sizes[size])], signal });
  await guest.start();
  const holdfast = await MachineHoldfast.open({ host, dir: join(dir, size), signal });
  const { usage } = await holdfast.backup(host, guest.name, 'full');
  note(`${size} full: ${usageText(usage)}`);
  await host.virsh('suspend', guest.name);
  return { guest, holdfast, size };
}

async function prove(options: {
  readonly guest: TinyGuest;
  readonly holdfast: MachineHoldfast;
  readonly point: string;
  readonly dir: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { guest, holdfast, point, dir, signal } = options;
  const restored = join(dir, 'restored.raw');
  await holdfast.restore(point, 'vdb', restored);
  const images = [guest.images[1] ?? '', restored] as const;
  await run({ command: ['qemu-img', 'compare', '-f', 'qcow2', '-F', 'raw', ...images], signal });
  await rm(restored);
}
