/**
 * The story of one disk: protect it, let its machine change it, protect the change alone, bring both states back and
 * prove them right, bit by bit and by booting them. Every step throws when what it claims does not hold.
 */
import { copyFile, constants, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bootGuest, type GuestReport } from './boot-guest.ts';
import { provideDemoDisk } from './demo-disk.ts';
import { holdfast, pointOf } from './holdfast.ts';
import { runCommand } from './run-command.ts';
import { mebibytes, type Step, timed } from './step.ts';

export type StoryRequest = {
  readonly root: string;
  /** Everything is left in here; must not exist or be empty. */
  readonly folder: string;
  readonly tell: (step: Step) => void;
  readonly signal: AbortSignal;
};

export type Story = { readonly storage: string; readonly disk: string; readonly points: readonly [string, string] };

const bitmap = 'since-first-backup';
const bootTimeoutMs = 120_000; // seen: 6-8 s; twenty times that on a machine that does other things too

export async function tellStory({ root, folder, tell, signal }: StoryRequest): Promise<Story> {
  const disk = join(folder, 'demo.qcow2');
  const repository = join(folder, 'repository');
  const storage = `file://${repository}`;
  const command = (...args: readonly string[]) => holdfast({ root, args, signal });
  const qemuImg = (...args: readonly string[]) => runCommand({ program: 'qemu-img', args, signal });
  await mkdir(repository, { recursive: true });

  const made = await timed(() => provideDemoDisk({ root, to: disk, signal }));
  tell({
    title: made.value.cached ? 'take the demo disk from .cache' : 'build a bootable demo disk',
    seconds: made.seconds,
    note: `${mebibytes((await stat(disk)).size)} qcow2, 512 MiB virtual`,
  });

  const init = await command('repo', 'init', '--storage', storage);
  tell({ title: 'holdfast repo init', seconds: init.seconds, note: '' });

  // From here on QEMU notes which blocks change, and keeps the notes in the image.
  await qemuImg('bitmap', '--add', '--granularity', '64k', disk, bitmap);
  const full = await command('backup', '--storage', storage, '--resource', 'volumes/demo', disk);
  const storedByFull = await folderBytes(repository);
  tell({ title: 'holdfast backup (full)', seconds: full.seconds, note: `${mebibytes(storedByFull)} stored` });
  const first = { point: pointOf(full), kept: join(folder, 'kept-1.qcow2') };
  await copyFile(disk, first.kept, constants.COPYFILE_FICLONE);

  const changing = await timed(() =>
    bootGuest({
      image: disk,
      format: 'qcow2',
      writes: 'keep',
      serialLog: join(folder, 'change.log'),
      timeoutMs: bootTimeoutMs,
      signal,
    }),
  );
  const changed = changing.value;
  if (!changed.filesOk || changed.boot !== 1)
    throw new Error('the demo disk is not as it was built; delete .cache/guests');
  tell({
    title: 'boot it; the guest changes its disk',
    seconds: changing.seconds,
    note: '8 MiB written, 8 MiB trimmed',
  });

  const since = ['--parent', first.point, '--bitmap', bitmap];
  const increment = await command('backup', '--storage', storage, '--resource', 'volumes/demo', ...since, disk);
  const added = (await folderBytes(repository)) - storedByFull;
  tell({ title: 'holdfast backup (increment)', seconds: increment.seconds, note: `${mebibytes(added)} more stored` });
  const second = { point: pointOf(increment), kept: join(folder, 'kept-2.qcow2') };
  await copyFile(disk, second.kept, constants.COPYFILE_FICLONE);

  const verified = await command('verify', '--storage', storage);
  tell({ title: 'holdfast verify', seconds: verified.seconds, note: 'every chunk proved' });

  const states = [
    { ...first, format: 'raw', expected: changed.checksum, name: 'first' },
    { ...second, format: 'qcow2', expected: changed.left, name: 'second' },
  ] as const;
  for (const [index, { point, kept, format, expected, name }] of states.entries()) {
    const target = join(folder, `restored-${index + 1}.${format}`);
    const restored = await command('restore', '--storage', storage, point, '--to', target, '--format', format);
    const size = await stat(target);
    tell({
      title: `holdfast restore (${name} point, ${format})`,
      seconds: restored.seconds,
      note: `${mebibytes(size.blocks * 512)} on disk`,
    });
    const compared = await qemuImg('compare', '-F', 'qcow2', '-f', format, target, kept);
    tell({ title: '  compare with the copy kept', seconds: compared.seconds, note: 'identical' });
    const serialLog = join(folder, `restored-${index + 1}.log`);
    const booted = await timed(() =>
      bootGuest({ image: target, format, writes: 'throw-away', serialLog, timeoutMs: bootTimeoutMs, signal }),
    );
    requireState({ report: booted.value, expected, boot: index + 1, target });
    tell({ title: '  boot it', seconds: booted.seconds, note: `up, files whole, boot number ${index + 1}` });
  }
  return { storage, disk, points: [first.point, second.point] };
}

type StateCheck = { report: GuestReport; expected: string; boot: number; target: string };

function requireState({ report, expected, boot, target }: StateCheck): void {
  if (!report.filesOk) throw new Error(`the guest of ${target} finds its files damaged`);
  if (report.checksum !== expected) throw new Error(`${target} holds other files than the disk held then`);
  if (report.boot !== boot) throw new Error(`${target} is in its boot ${report.boot}, not ${boot}`);
}

async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(files.map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
