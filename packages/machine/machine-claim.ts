/**
 * One at a time works on a machine of this host, and finds what the one before left behind. The lock is the kernel's: also
 * kill -9 gives it back, and nobody has to judge whether its holder still lives.
 */
import { join } from 'node:path';
import { HoldfastError, makeDirectories, systemErrorCode } from '@holdfast/base';
import { holdExclusively, machineLock } from './exclusive.ts';
import { readWorkRecord, removeWorkRecord, type WorkRecord, writeWorkRecord } from './work-record.ts';

export interface MachineClaim extends AsyncDisposable {
  /** What the holder before left behind, who is dead. */
  readonly left: WorkRecord | undefined;
  /** To be found by whoever comes after us, if we do not clear it. */
  record(work: WorkRecord): Promise<void>;
  clear(): Promise<void>;
}

/** Where the claims of a state directory lie. */
export function claimsDirectory(stateDirectory: string): string {
  return join(stateDirectory, 'machines');
}

export function recordPath(stateDirectory: string, uuid: string): string {
  return join(claimsDirectory(stateDirectory), `${uuid}.json`);
}

/** @throws resource_busy when somebody works on the machine; scratch_unusable when the directory cannot be written */
export async function claimMachine(options: {
  readonly stateDirectory: string;
  readonly uuid: string;
  /** For messages. */
  readonly name: string;
}): Promise<MachineClaim> {
  const { stateDirectory, uuid, name } = options;
  const directory = claimsDirectory(stateDirectory);
  const path = recordPath(stateDirectory, uuid);
  try {
    await makeDirectories(directory, { mode: 0o755 });
  } catch (error) {
    const why = systemErrorCode(error) ?? String(error);
    throw new HoldfastError('scratch_unusable', `${directory} cannot be made: ${why}`, {
      cause: error,
      remedy: 'Run as root.',
    });
  }
  const lock = await holdExclusively(machineLock(uuid));
  if (!lock) throw await busy(name, path);
  return {
    left: await readWorkRecord(path),
    record: (work) => writeWorkRecord(path, work),
    clear: () => removeWorkRecord(path),
    [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
  };
}

async function busy(name: string, path: string): Promise<HoldfastError> {
  const holder = await readWorkRecord(path);
  const who = holder ? ` It is being backed up by process ${holder.pid} since ${holder.started_at}.` : '';
  return new HoldfastError('resource_busy', `Another command works on ${name}.${who}`, {
    remedy: 'Wait for it to end, or end that process: what it leaves behind is put in order by the next command.',
    ...(holder && { facts: { vm: name, pid: holder.pid } }),
  });
}
