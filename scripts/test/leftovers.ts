/** Ends what test files started and left running, for example when they were stopped by a limit or an interrupt. */
import { readdir, readFile } from 'node:fs/promises';

/**
 * Kills every process that has `temporary`, the folder made for this run alone, as its TMPDIR, and tells their command
 * lines. Processes that end by themselves right after their test are given a moment.
 */
export async function endLeftovers({ temporary }: { readonly temporary: string }): Promise<readonly string[]> {
  if ((await processesOf(temporary)).length === 0) return [];
  await new Promise((wake) => setTimeout(wake, 500));
  const left = await processesOf(temporary);
  for (const { id } of left) {
    try {
      process.kill(id, 'SIGKILL');
    } catch {
      // ended meanwhile
    }
  }
  return left.map(({ command }) => command);
}

async function processesOf(temporary: string): Promise<readonly { id: number; command: string }[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = await Promise.all(
    ids.map(async (id) => {
      const environment = await readFile(`/proc/${id}/environ`, 'utf8').catch(() => '');
      if (!environment.split('\0').includes(`TMPDIR=${temporary}`)) return undefined;
      const command = (await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ').trim();
      return command === '' ? undefined : { id: Number(id), command }; // no command line: a zombie
    }),
  );
  return found.filter((one) => one !== undefined);
}
