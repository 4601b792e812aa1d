/** restic, repository version 2, default compression. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { changePatterns } from '../../image/change-plan.ts';
import type { Contender, Stage } from '../contender.ts';
import type { Work } from '../works.ts';

export const restic: Contender = { id: 'restic', title: 'restic', program: ['restic', 'version'], compete };

async function compete(stage: Stage): Promise<void> {
  const { disk, dir } = stage;
  const repository = join(dir, 'repository');
  const env = {
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD: 'bench',
    RESTIC_CACHE_DIR: join(dir, 'cache'),
    RESTIC_COMPRESSION: 'auto',
  };
  await stage.prepare({ command: ['restic', 'init', '--quiet', '--repository-version', '2'], env });
  const backup = async (work: Work): Promise<void> => {
    const command = ['restic', 'backup', '--quiet', disk.path] as const;
    await stage.measure({ work, command, env, warm: [disk.path], repository });
  };
  await backup('full');
  await disk.touch();
  await backup('rescan');
  for (const pattern of changePatterns) await disk.whileChanged(pattern, () => backup(pattern));

  const first = firstSnapshot(await stage.prepare({ command: ['restic', 'snapshots', '--json'], env }));
  const target = join(dir, 'restored');
  await mkdir(target);
  const command = ['restic', 'restore', '--quiet', first, '--target', target] as const;
  await stage.measure({ work: 'restore', command, env, warm: [repository] });
  await stage.check({ restored: join(target, disk.path), expected: stage.image.raw });
  await rm(target, { recursive: true });
}

function firstSnapshot(json: string): string {
  const snapshots = JSON.parse(json) as readonly { readonly id: string; readonly time: string }[];
  const first = snapshots.toSorted((left, right) => (left.time < right.time ? -1 : 1))[0];
  if (first === undefined) throw new Error('restic lists no snapshot');
  return first.id;
}
