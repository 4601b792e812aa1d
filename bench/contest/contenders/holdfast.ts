/** Holdfast, through the command that users run, without and with encryption. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { changePatterns } from '../../image/change-plan.ts';
import type { Command, Contender, MeasuredWork, Stage } from '../contender.ts';

const program = join(import.meta.dirname, '../../../bin/holdfast');
const versionRuns = 5;

export const holdfast: Contender = {
  id: 'holdfast',
  title: 'Holdfast',
  program: [program, '--version'],
  compete: competePlain,
};

export const holdfastEncrypted: Contender = {
  id: 'holdfast-encrypted',
  title: 'Holdfast, encrypted',
  program: [program, '--version'],
  compete: competeEncrypted,
};

async function competePlain(stage: Stage): Promise<void> {
  const { disk, image } = stage;
  const { env, repository, backup, restore } = await openHouse({ stage, encrypted: false });
  for (let count = 0; count < versionRuns; count += 1) {
    await stage.measure({ work: 'version', command: [program, '--version'], env });
  }
  const full = pointOf(await stage.measure({ ...backup(disk.path), work: 'full', warm: [disk.path] }));
  await disk.touch();
  await stage.measure({ ...backup('--parent', full, disk.path), work: 'rescan', warm: [disk.path] });
  const points = { scattered: '', runs: '' };
  for (const pattern of changePatterns) {
    const { qcow2, bitmap } = image.changes[pattern];
    const increment = backup('--parent', full, '--bitmap', bitmap, qcow2);
    points[pattern] = pointOf(await stage.measure({ ...increment, work: pattern, warm: [qcow2] }));
  }
  const restored = join(stage.dir, 'restored.raw');
  await stage.measure({ ...restore(full, restored), work: 'restore', warm: [repository] });
  await stage.check({ restored, expected: image.raw });
  // Once a run the increments are proven as well.
  if (stage.round > 0) return;
  for (const pattern of changePatterns) {
    await stage.prepare(restore(points[pattern], restored));
    await disk.whileChanged(pattern, () => stage.check({ restored, expected: disk.path }));
  }
}

async function competeEncrypted(stage: Stage): Promise<void> {
  const { disk, image } = stage;
  const { repository, backup, restore } = await openHouse({ stage, encrypted: true });
  const full = pointOf(await stage.measure({ ...backup(disk.path), work: 'full', warm: [disk.path] }));
  const restored = join(stage.dir, 'restored.raw');
  await stage.measure({ ...restore(full, restored), work: 'restore', warm: [repository] });
  await stage.check({ restored, expected: image.raw });
}

type House = {
  readonly env: Readonly<Record<string, string>>;
  /** Its folder. */
  readonly repository: string;
  readonly backup: (...args: readonly string[]) => Omit<MeasuredWork, 'work'>;
  readonly restore: (point: string, to: string) => Command;
};

/** A fresh repository and the commands on it. */
async function openHouse(options: { readonly stage: Stage; readonly encrypted: boolean }): Promise<House> {
  const { stage, encrypted } = options;
  const repository = join(stage.dir, 'repository');
  const storage = ['--storage', pathToFileURL(repository).href] as const;
  // A cache of its own, so that no index is left over from an earlier round; compiled code stays, as it does for users.
  const env = {
    XDG_CACHE_HOME: join(stage.dir, 'cache'),
    NODE_COMPILE_CACHE: join(import.meta.dirname, '../../../.cache/bench/compile'),
    ...(encrypted ? { HOLDFAST_PASSPHRASE: 'bench' } : {}),
  };
  await stage.prepare({ command: [program, 'repo', 'init', ...storage, ...(encrypted ? ['--encrypt'] : [])], env });
  return {
    env,
    repository,
    backup: (...args) => ({
      command: [program, 'backup', ...storage, '--resource', 'volumes/bench', '--json', ...args],
      env,
      repository,
      sourceReadBytes,
    }),
    restore: (point, to) => ({ command: [program, 'restore', ...storage, point, '--to', to], env }),
  };
}

function pointOf(stdout: string): string {
  const { point } = resultOf(stdout);
  if (typeof point !== 'string') throw new Error(`holdfast backup printed no point:\n${stdout}`);
  return point;
}

/** `read_bytes` of the result, clean-chunk samples included. */
function sourceReadBytes(stdout: string): number | undefined {
  const { read_bytes: bytes } = resultOf(stdout);
  return typeof bytes === 'number' ? bytes : undefined;
}

/** The last line of `--json` is the result. */
function resultOf(stdout: string): Readonly<Record<string, unknown>> {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '{}') as Readonly<Record<string, unknown>>;
}
