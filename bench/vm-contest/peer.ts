/** The port that Holdfast and virtnbdbackup implement to be run side by side on the same guest. */
import { mkdir, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LibvirtHost, TinyGuest } from '@holdfast/testing/guests';
import { run } from '../process/run.ts';
import { timedRun, type Usage } from '../process/timed-run.ts';
import { MachineHoldfast } from './machine-holdfast.ts';

export const peerWorks = ['full', 'increment'] as const;
export type PeerWork = (typeof peerWorks)[number];

export type Peer = {
  readonly id: string;
  readonly title: string;
  readonly settle: (stage: PeerStage) => Promise<PeerAtWork>;
};

/** A running guest with disks `vda`, `vdb`, and an empty folder. */
export type PeerStage = {
  readonly host: LibvirtHost;
  readonly guest: TinyGuest;
  readonly dir: string;
  readonly signal: AbortSignal;
};

export type PeerAtWork = {
  readonly backup: (work: PeerWork) => Promise<Usage>;
  /** Of the disks, everything else that is kept with them not counted. */
  readonly storedBytes: () => Promise<number>;
  readonly format: 'raw' | 'qcow2';
  /** @returns the restored images of `vda` and `vdb`, in a folder that is the caller's */
  readonly restore: (work: PeerWork, dir: string) => Promise<readonly [string, string]>;
};

export const holdfast: Peer = {
  id: 'holdfast',
  title: 'Holdfast',
  settle: async ({ host, guest, dir, signal }) => {
    const machine = await MachineHoldfast.open({ host, dir, signal });
    const points: Partial<Record<PeerWork, string>> = {};
    return {
      backup: async (work) => {
        const { usage, point } = await machine.backup(host, guest.name, work === 'full' ? 'full' : 'incremental');
        points[work] = point;
        return usage;
      },
      storedBytes: () => sizeBelow(machine.repository, () => true),
      format: 'raw',
      restore: async (work, to) => {
        const files = [join(to, 'vda.raw'), join(to, 'vdb.raw')] as const;
        await machine.restore(points[work] ?? '', 'vda', files[0]);
        await machine.restore(points[work] ?? '', 'vdb', files[1]);
        return files;
      },
    };
  },
};

/** With its compression (lz4) and a worker for each disk. */
export const virtnbdbackup: Peer = {
  id: 'virtnbdbackup',
  title: 'virtnbdbackup -z -w 2',
  settle: async ({ host, guest, dir, signal }) => {
    const repository = join(dir, 'backup');
    const scratch = join(host.directory, 'peer');
    await mkdir(scratch);
    // QEMU makes its socket and scratch files there, as another user.
    await run({ command: ['chmod', '1777', scratch], signal });
    const where = ['-U', host.uri, '-d', guest.name, '-o', repository, '-S', scratch, '-f', join(scratch, 'nbd')];
    return {
      backup: async (work) => {
        const level = work === 'full' ? 'full' : 'inc';
        const words = [...where, '-l', level, '-z', '-w', '2', '-n'];
        const { usage } = await timedRun({ command: ['virtnbdbackup', ...words], signal });
        return usage;
      },
      storedBytes: () => sizeBelow(repository, (name) => name.endsWith('.data')),
      format: 'qcow2',
      restore: async (work, to) => {
        const until = work === 'full' ? ['-u', 'virtnbdbackup.0'] : [];
        const how = ['-U', host.uri, '-L', join(dir, 'restore.log'), '-n'];
        await run({ command: ['virtnbdrestore', '-i', repository, '-o', to, ...how, ...until], signal });
        const [first = '', second = ''] = guest.images.map((image) => join(to, basename(image)));
        for (const image of [first, second]) await untilClosed(image, signal);
        return [first, second];
      },
    };
  },
};

/** virtnbdrestore ends while its qemu-nbd still has the image open. */
async function untilClosed(image: string, signal: AbortSignal): Promise<void> {
  for (let tries = 100; ; tries -= 1) {
    try {
      await run({ command: ['qemu-img', 'info', image], signal });
      return;
    } catch (error) {
      if (tries === 0) throw error;
      await sleep(100, undefined, { signal });
    }
  }
}

async function sizeBelow(path: string, isCounted: (name: string) => boolean): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && isCounted(entry.name)) sum += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return sum;
}
