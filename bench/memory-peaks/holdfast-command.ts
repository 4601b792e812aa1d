/** The command under test with its caches inside the trial's folder. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { run } from '../process/run.ts';
import type { TrialGround } from './trial.ts';

const program = join(import.meta.dirname, '../../bin/holdfast');

/** Creates the repository. @returns its folder. */
export async function initRepositoryByCommand(ground: TrialGround): Promise<string> {
  const repository = join(ground.dir, 'repository');
  const command = [program, 'repo', 'init', '--storage', pathToFileURL(repository).href] as const;
  await run({ command, env: environment(ground), signal: ground.signal });
  return repository;
}

export function backupCommand(ground: TrialGround, repository: string, source: string) {
  const storage = pathToFileURL(repository).href;
  return {
    command: [program, 'backup', '--storage', storage, '--resource', 'volumes/bench', '--json', source],
    env: environment(ground),
    signal: ground.signal,
  } as const;
}

function environment(ground: TrialGround): Readonly<Record<string, string>> {
  return { XDG_CACHE_HOME: join(ground.dir, 'cache') };
}
