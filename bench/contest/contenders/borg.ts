/** borg with fixed chunks of 1 MiB and sparse reading, which suit disk images best; no encryption. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { changePatterns } from '../../image/change-plan.ts';
import type { Contender, Stage } from '../contender.ts';
import type { Work } from '../works.ts';

export const borgLz4 = borg({ id: 'borg-lz4', compression: 'lz4' });
export const borgZstd = borg({ id: 'borg-zstd', compression: 'zstd,1' });

function borg(options: { readonly id: string; readonly compression: string }): Contender {
  const { id, compression } = options;
  return {
    id,
    title: `borg ${compression}`,
    program: ['borg', '--version'],
    compete: (stage) => compete(stage, compression),
  };
}

async function compete(stage: Stage, compression: string): Promise<void> {
  const { disk, dir } = stage;
  const repository = join(dir, 'repository');
  const env = {
    BORG_REPO: repository,
    BORG_BASE_DIR: join(dir, 'base'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
  await stage.prepare({ command: ['borg', 'init', '--encryption', 'none'], env });
  const create = async (work: Work): Promise<void> => {
    const how = ['--compression', compression, '--chunker-params', 'fixed,1048576', '--sparse'] as const;
    const command = ['borg', 'create', ...how, `::${work}`, disk.name] as const;
    await stage.measure({ work, command, cwd: disk.dir, env, warm: [disk.path], repository });
  };
  await create('full');
  await disk.touch();
  await create('rescan');
  for (const pattern of changePatterns) await disk.whileChanged(pattern, () => create(pattern));

  const target = join(dir, 'restored');
  await mkdir(target);
  const command = ['borg', 'extract', '--sparse', '::full'] as const;
  await stage.measure({ work: 'restore', command, cwd: target, env, warm: [repository] });
  await stage.check({ restored: join(target, disk.name), expected: stage.image.raw });
  await rm(target, { recursive: true });
}
