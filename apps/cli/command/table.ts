/** Every command there is. Only the one that is called gets loaded; help and completion load all. */
import type { Command } from './specification.ts';

type Loader = () => Promise<{ readonly command: Command }>;

/** In the order of the help. */
const loaders: ReadonlyMap<string, Loader> = new Map(
  Object.entries({
    'repo init': () => import('../commands/repo-init.ts'),
    'repo adopt': () => import('../commands/repo-adopt.ts'),
    'repo check': () => import('../commands/repo-check.ts'),
    backup: () => import('../commands/backup.ts'),
    points: () => import('../commands/points.ts'),
    restore: () => import('../commands/restore.ts'),
    serve: () => import('../commands/serve.ts'),
    verify: () => import('../commands/verify.ts'),
    delete: () => import('../commands/delete.ts'),
    undelete: () => import('../commands/undelete.ts'),
    collect: () => import('../commands/collect.ts'),
    compact: () => import('../commands/compact.ts'),
    copy: () => import('../commands/copy.ts'),
    import: () => import('../commands/import.ts'),
    'vm restore': () => import('../commands/vm-restore.ts'),
    'key add': () => import('../commands/key-add.ts'),
    'key rotate': () => import('../commands/key-rotate.ts'),
    'key remove': () => import('../commands/key-remove.ts'),
    'key list': () => import('../commands/key-list.ts'),
    'key export': () => import('../commands/key-export.ts'),
    'storage check': () => import('../commands/storage-check.ts'),
    'vm snapshot create': () => import('../commands/vm-snapshot-create.ts'),
    'vm snapshot list': () => import('../commands/vm-snapshot-list.ts'),
    'vm snapshot delete': () => import('../commands/vm-snapshot-delete.ts'),
    'vm snapshot restore': () => import('../commands/vm-snapshot-restore.ts'),
    'volume snapshot create': () => import('../commands/volume-snapshot-create.ts'),
    'volume snapshot list': () => import('../commands/volume-snapshot-list.ts'),
    'volume snapshot delete': () => import('../commands/volume-snapshot-delete.ts'),
    'volume snapshot revert': () => import('../commands/volume-snapshot-revert.ts'),
    'volume snapshot clone': () => import('../commands/volume-snapshot-clone.ts'),
    'vm list': () => import('../commands/vm-list.ts'),
    'vm backup': () => import('../commands/vm-backup.ts'),
    completion: () => import('../commands/completion.ts'),
  }),
);

export type FoundCommand = {
  readonly load: () => Promise<Command>;
  /** What comes after the command's name. */
  readonly words: readonly string[];
};

/** The command that the first words name, one to three of them. */
export function findCommand(words: readonly string[]): FoundCommand | undefined {
  for (const length of [3, 2, 1]) {
    const loader = loaders.get(words.slice(0, length).join(' '));
    if (loader && words.length >= length) {
      return { load: async () => (await loader()).command, words: words.slice(length) };
    }
  }
  return undefined;
}

/** Commands whose name begins with these words (`repo`, `volume snapshot`), or all. */
export async function loadCommands(group?: string): Promise<readonly Command[]> {
  const wanted = [...loaders].filter(([name]) => group === undefined || name.startsWith(`${group} `));
  return await Promise.all(wanted.map(async ([, load]) => (await load()).command));
}
