/**
 * A full backup and the increment after 1 % changed, of the same guest by Holdfast and by virtnbdbackup. Each round gives
 * each of them a fresh guest, for virtnbdbackup refuses machines that have checkpoints of somebody else.
 */
import { constants, copyFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBytes, MiB } from '@holdfast/base';
import { readJournals, startLibvirtHost } from '@holdfast/testing/guests';
import { aligned } from '../contest/report.ts';
import { spreadOf } from '../contest/summary.ts';
import type { BenchImage } from '../image/build.ts';
import type { ChangePattern } from '../image/change-plan.ts';
import { run } from '../process/run.ts';
import type { Usage } from '../process/timed-run.ts';
import { figure } from '../promise/figure.ts';
import { writeLive } from './live-writes.ts';
import { changesOf, placeMaterial } from './material.ts';
import { holdfast, type Peer, type PeerAtWork, type PeerWork, peerWorks, virtnbdbackup } from './peer.ts';
import { WarmMemory } from '../process/warm-memory.ts';
import { secondsText, usageText, type VmGround, type VmTrial } from './trial.ts';

const pattern: ChangePattern = 'scattered';
const memoryLimitMiB = 512;

type Measured = {
  readonly peer: Peer;
  readonly work: PeerWork;
  readonly usage: Usage;
  readonly storedBytes: number;
};

export const besidePeer: VmTrial = {
  id: 'peer',
  title: 'full and 1 % changed in 64 KiB writes, beside virtnbdbackup: a running guest of two disks',
  run: async (ground) => {
    const { dir, rounds, note, signal } = ground;
    const image = await ground.image();
    const template = join(dir, 'template.qcow2');
    await placeMaterial({ image, sizeBytes: image.sizeBytes, path: template, signal });
    const measured: Measured[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const peers = round % 2 === 0 ? [holdfast, virtnbdbackup] : [virtnbdbackup, holdfast];
      for (const peer of peers) {
        measured.push(...(await competeOnce({ ground, image, template, peer, round })));
      }
    }
    for (const line of measuredTable(measured)) note(line);
    const median = (peer: Peer, work: PeerWork, of: (one: Measured) => number): number =>
      spreadOf(measured.filter((one) => one.peer === peer && one.work === work).map(of)).median;
    const compared = (work: PeerWork, of: (one: Measured) => number) =>
      [median(holdfast, work, of), median(virtnbdbackup, work, of)] as const;
    const times = (title: string, work: PeerWork, atMost: number) => {
      const [ours, theirs] = compared(work, ({ usage }) => usage.wallMs);
      const shown = `${secondsText(ours)} / ${secondsText(theirs)}`;
      return figure({ title, shown, value: ours / theirs, limit: { atMost }, unit: 'x' });
    };
    const sizes = (title: string, work: PeerWork, atMost: number) => {
      const [ours, theirs] = compared(work, ({ storedBytes }) => storedBytes);
      const shown = `${formatBytes(ours)} / ${formatBytes(theirs)}`;
      return figure({ title, shown, value: ours / theirs, limit: { atMost }, unit: 'x' });
    };
    const peakBytes = Math.max(...measured.filter(({ peer }) => peer === holdfast).map(({ usage }) => usage.peakBytes));
    return [
      times('full backup / virtnbdbackup', 'full', 0.6),
      times('1 % in 64 KiB writes / virtnbdbackup', 'increment', 0.7),
      sizes('stored after the full backup / virtnbdbackup', 'full', 0.7),
      sizes('stored after both / virtnbdbackup', 'increment', 0.7),
      figure({
        title: 'peak memory of vm backup',
        shown: 'the largest of all runs',
        value: peakBytes / MiB,
        limit: { atMost: memoryLimitMiB },
        unit: 'MiB',
      }),
    ];
  },
};

/** @returns the measurements of `peerWorks`, in their order */
async function competeOnce(options: {
  readonly ground: VmGround;
  readonly image: BenchImage;
  readonly template: string;
  readonly peer: Peer;
  readonly round: number;
}): Promise<readonly Measured[]> {
  const { ground, image, template, peer, round } = options;
  const { signal, note } = ground;
  const dir = join(ground.dir, peer.id);
  await mkdir(dir);
  await using memory = new WarmMemory({ dir: ground.dir });
  await using host = await startLibvirtHost();
  const guest = await host.makeGuest({ name: 'bench', disks: [{ format: 'qcow2' }, { format: 'qcow2' }] });
  await copyFile(template, guest.images[1] ?? '', constants.COPYFILE_FICLONE);
  await guest.start();
  const atWork = await peer.settle({ host, guest, dir, signal });
  const measured: Measured[] = [];
  for (const work of peerWorks) {
    if (work === 'increment') {
      const writes = changesOf(image.changes[pattern]);
      await writeLive({ host, guest: guest.name, disk: 1, writes, signal });
    }
    await run({ command: ['sync', '--file-system', dir], signal });
    await memory.fill(signal);
    const usage = await atWork.backup(work);
    const storedBytes = await atWork.storedBytes();
    measured.push({ peer, work, usage, storedBytes });
    note(`round ${round + 1} ${peer.id} ${work}: ${usageText(usage)}, stored ${formatBytes(storedBytes)}`);
  }
  await guest.destroy();
  // Once a run both points are proven.
  if (round === 0) {
    note(`${peer.id}: restoring both points to compare them`);
    await prove({ atWork, disks: { full: template, increment: guest.images[1] ?? '' }, dir, signal });
  }
  await rm(dir, { recursive: true });
  return measured;
}

/** The large disk is compared byte by byte; on the small one no record of the guest's writer is torn or missing. */
async function prove(options: {
  readonly atWork: PeerAtWork;
  /** What the large one was then. */
  readonly disks: Readonly<Record<PeerWork, string>>;
  readonly dir: string;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { atWork, disks, dir, signal } = options;
  let lastBefore = 0;
  for (const work of peerWorks) {
    const to = join(dir, 'restored');
    await mkdir(to);
    const [journal, restored] = await atWork.restore(work, to);
    const formats = ['-f', atWork.format, '-F', 'qcow2'];
    await run({ command: ['qemu-img', 'compare', ...formats, restored, disks[work]], signal });
    const [report] = await readJournals([journal]);
    if (report === undefined || report.bad > 0 || report.gaps > 0 || report.first !== 1 || report.last <= lastBefore) {
      throw new Error(`the journal of the restored ${work} is not right: ${JSON.stringify(report)}`);
    }
    lastBefore = report.last;
    await rm(to, { recursive: true });
  }
}

function measuredTable(measured: readonly Measured[]): readonly string[] {
  const rows = peerWorks.flatMap((work) =>
    [holdfast, virtnbdbackup].map((peer) => {
      const group = measured.filter((one) => one.peer === peer && one.work === work);
      const wall = spreadOf(group.map(({ usage }) => usage.wallMs / 1000));
      const median = (of: (one: Measured) => number): number => spreadOf(group.map(of)).median;
      return [
        work,
        peer.title,
        wall.median.toFixed(2),
        `${wall.min.toFixed(2)}-${wall.max.toFixed(2)}`,
        median(({ usage }) => usage.cpuMs / 1000).toFixed(2),
        median(({ usage }) => usage.peakBytes / MiB).toFixed(0),
        median(({ storedBytes }) => storedBytes / MiB).toFixed(0),
      ];
    }),
  );
  return aligned([['work', 'who', 'wall s', 'min-max', 'CPU s', 'peak MiB', 'stored MiB'], ...rows]);
}
