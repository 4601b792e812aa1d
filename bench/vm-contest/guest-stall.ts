/**
 * What the guest feels of its backups: how long its file systems are frozen, and how long its writer waits. The writer puts
 * a record on the first disk and on the second, each with fsync, pauses and begins again; its time stamps tell the rest. A
 * third disk holds what makes a full backup last, so that the freeze, which has its own figure, is one gap among hundreds.
 */
import { constants, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLibvirtHost } from '@holdfast/testing/guests';
import { spreadOf } from '../contest/summary.ts';
import { run } from '../process/run.ts';
import { figure } from '../promise/figure.ts';
import { gapsIn, type Span, spanOf } from './guest-spans.ts';
import { journalTimes } from './journal-times.ts';
import { type MachineBackup, MachineHoldfast } from './machine-holdfast.ts';
import { placeMaterial } from './material.ts';
import { usageText, type VmTrial } from './trial.ts';

const writerPauseMs = 10;
/** The first of each round is a full backup of all disks into an empty repository, the others are increments of the two that are written to. */
const backupsARound = 4;
const idleMs = 4000;

export const guestStall: VmTrial = {
  id: 'guest',
  title: 'what the guest feels: frozen file systems, and the gaps of its writer',
  run: async ({ dir, rounds, note, signal, image: provideImage }) => {
    const image = await provideImage();
    const template = join(dir, 'template.qcow2');
    await placeMaterial({ image, sizeBytes: image.sizeBytes, path: template, signal });
    await using host = await startLibvirtHost();
    const guest = await host.makeGuest({
      name: 'bench',
      disks: [{ format: 'qcow2' }, { format: 'qcow2' }, { format: 'qcow2' }],
      writer: writerPauseMs,
    });
    await copyFile(template, guest.images[2] ?? '', constants.COPYFILE_FICLONE);
    await guest.start();
    const two = ['--disks', 'vda,vdb', '--resource', 'instances/two'];
    let holdfast!: MachineHoldfast;
    const frozenMs: number[] = [];
    const idle: Span[] = [];
    const busy: Span[] = [];
    let last: MachineBackup | undefined;
    for (let round = 0; round < rounds; round += 1) {
      holdfast = await MachineHoldfast.open({ host, dir: join(dir, `holdfast-${round}`), signal });
      await holdfast.backup(host, guest.name, 'full', two);
      for (let count = 0; count < backupsARound; count += 1) {
        idle.push(await spanOf(host, guest, () => sleep(idleMs, undefined, { signal })));
        const isFull = count === 0;
        const span = await spanOf(host, guest, async () => {
          const made = isFull
            ? await holdfast.backup(host, guest.name, 'full')
            : await holdfast.backup(host, guest.name, 'incremental', two);
          if (isFull) last = made;
          else frozenMs.push(made.frozenMs);
          note(
            `round ${round + 1} ${isFull ? 'all disks' : 'two disks'}: ${usageText(made.usage)}, frozen ${made.frozenMs} ms`,
          );
        });
        if (isFull) busy.push(span);
      }
    }
    await guest.destroy();
    const restored = join(dir, 'restored.raw');
    await holdfast.restore(last?.point ?? '', 'vdc', restored);
    await run({ command: ['qemu-img', 'compare', '-f', 'raw', '-F', 'qcow2', restored, template], signal });
    const times = await journalTimes({ image: guest.images[0] ?? '', dir, signal });
    const [idleGap, busyGap] = [percentile99(gapsIn(times, idle)), percentile99(gapsIn(times, busy))];
    const frozen = spreadOf(frozenMs);
    return [
      figure({
        title: 'two disks frozen, median',
        shown: `${frozenMs.length} backups, ${frozen.min.toFixed(0)}-${frozen.max.toFixed(0)} ms`,
        value: frozen.median / 1000,
        limit: { atMost: 0.3 },
        unit: 's',
      }),
      figure({
        title: "the writer's p99 gap, during full backups / idle",
        shown: `${busyGap.toFixed(1)} ms / ${idleGap.toFixed(1)} ms`,
        value: busyGap / idleGap,
        limit: { atMost: 3 },
        unit: 'x',
      }),
    ];
  },
};

function percentile99(values: readonly number[]): number {
  if (values.length < 100) throw new Error(`${values.length} records are too few for a 99th percentile`);
  return values.toSorted((left, right) => left - right)[Math.ceil(values.length * 0.99) - 1] ?? Number.NaN;
}
