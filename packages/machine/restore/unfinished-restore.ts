/**
 * A restore from its beginning to its end. Before it makes the first file, it notes in the directory what it is going to
 * make; when it fails, it removes exactly that. A run that was killed leaves the note: the next run of the same restore
 * goes on with the files that it names, and a run that wants something else there removes them first.
 */
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { HoldfastError, systemErrorCode } from '@holdfast/base';
import { z } from 'zod';
import { holdExclusively, machineLock } from '../exclusive.ts';
import { isSameRestore, madePaths, type RestorePlan, restorePlanSchema } from './restore-plan.ts';

const noteSchema = z.strictObject({ version: z.literal(1), host: z.string(), plan: restorePlanSchema });

/** How much of what a plan makes a machine uses. What it uses is never removed, and `some` is neither gone on with. */
export type PlanUse = 'all' | 'some' | 'none';

/** `done`: an earlier run came as far as libvirt knowing what it made, and was cut off then. */
export type RestoreStage = 'new' | 'resumed' | 'done';

type Opened = {
  readonly plan: RestorePlan;
  readonly stage: RestoreStage;
  readonly notePath: string;
  readonly lock: AsyncDisposable;
  /** Of another restore that was killed. */
  readonly stale: RestorePlan | undefined;
};

export class UnfinishedRestore implements AsyncDisposable {
  /** The one that is carried out: of an earlier run when this one goes on from it. */
  readonly plan: RestorePlan;
  readonly stage: RestoreStage;
  readonly #notePath: string;
  readonly #lock: AsyncDisposable;
  readonly #stale: RestorePlan | undefined;
  #leavesEverything: boolean;

  private constructor({ plan, stage, notePath, lock, stale }: Opened) {
    this.plan = plan;
    this.stage = stage;
    this.#notePath = notePath;
    this.#lock = lock;
    this.#stale = stale;
    this.#leavesEverything = stage !== 'resumed';
  }

  /**
   * Looks for the note of an earlier run; nothing is changed yet.
   * @param options.directory where the note lies
   * @param options.useOf what libvirt's definition says of an earlier plan
   * @throws vm_busy when another run is at work, target_unwritable
   */
  static async open(options: {
    readonly directory: string;
    readonly plan: RestorePlan;
    readonly useOf: (plan: RestorePlan) => PlanUse | Promise<PlanUse>;
  }): Promise<UnfinishedRestore> {
    const { directory, plan, useOf } = options;
    const notePath = join(directory, `.${plan.name}.holdfast-${plan.kind}`);
    const lock = await holdExclusively(
      (plan.kind === 'in_place' || plan.kind === 'snapshot') && plan.uuid !== null ? machineLock(plan.uuid) : notePath,
    );
    if (!lock) throw busy(plan);
    try {
      const earlier = await readNote(notePath);
      const use = earlier ? await useOf(earlier) : 'none';
      if (earlier && use !== 'some' && isSameRestore(earlier, plan)) {
        const stage = use === 'all' ? 'done' : 'resumed';
        return new UnfinishedRestore({ plan: earlier, stage, notePath, lock, stale: undefined });
      }
      return new UnfinishedRestore({ plan, stage: 'new', notePath, lock, stale: use === 'none' ? earlier : undefined });
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Notes the plan, in place of an earlier one whose files go. From now on a failure removes what is made.
   * @throws target_exists for a file that no earlier run has made, target_unwritable, target_full
   */
  async begin(): Promise<void> {
    if (this.stage !== 'new') return;
    if (this.#stale) await removeAll(madePaths(this.#stale));
    await refuseWhatExists(this.plan);
    await writeNote(this.#notePath, this.plan);
    this.#leavesEverything = false;
  }

  /** From now on libvirt may know what was made, so a failure removes nothing: the next run of the same restore ends it. */
  leaveEverything(): void {
    this.#leavesEverything = true;
  }

  /** After a refusal that says that libvirt does not know it. */
  leaveNothing(): void {
    this.#leavesEverything = false;
  }

  /** It is whole: what was made stays, without the note. */
  async finish(): Promise<void> {
    this.#leavesEverything = true;
    await rm(this.#notePath, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (!this.#leavesEverything) await removeAll([...madePaths(this.plan), this.#notePath]);
    } finally {
      await this.#lock[Symbol.asyncDispose]();
    }
  }
}

/** The note last, so that what is left after a kill is still named by it. */
async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true, recursive: true });
}

async function refuseWhatExists(plan: RestorePlan): Promise<void> {
  for (const path of madePaths(plan)) {
    if ((await stat(path).catch(() => undefined)) === undefined) continue;
    throw new HoldfastError('target_exists', `${path} exists already`, {
      remedy: 'Remove it if it is of no use any more, or choose another directory or name.',
      facts: { path },
    });
  }
}

/** Undefined when there is none. */
async function readNote(path: string): Promise<RestorePlan | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw unwritable(dirname(path), error);
  }
  const note = noteSchema.safeParse(parseJson(text));
  const why = note.success ? `it is of the host ${note.data.host}` : 'it cannot be understood';
  if (note.success && note.data.host === hostname()) return note.data.plan;
  throw new HoldfastError('vm_busy', `${path} tells of a restore that is under way: ${why}`, {
    remedy: 'When no restore is running there, remove this file and the disks that it names.',
    facts: { path },
  });
}

/** In one step, so that no note is ever half. */
async function writeNote(path: string, plan: RestorePlan): Promise<void> {
  const directory = dirname(path);
  try {
    const note: z.input<typeof noteSchema> = { version: 1, host: hostname(), plan };
    const making = `${path}.new`;
    {
      await using file = await open(making, 'w', 0o600);
      await file.writeFile(`${JSON.stringify(note)}\n`);
      await file.sync();
    }
    await rename(making, path);
  } catch (error) {
    await rm(`${path}.new`, { force: true });
    throw unwritable(directory, error);
  }
}

function unwritable(directory: string, cause: unknown): HoldfastError {
  const errno = systemErrorCode(cause) ?? '';
  const isFull = errno === 'ENOSPC' || errno === 'EDQUOT';
  const detail = errno === 'ENOENT' ? 'there is no such directory' : `it cannot be written (${errno})`;
  return new HoldfastError(isFull ? 'target_full' : 'target_unwritable', `${directory}: ${detail}`, {
    cause,
    facts: { path: directory },
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function busy({ name, kind }: RestorePlan): HoldfastError {
  return new HoldfastError('vm_busy', `Another restore of ${name} is running`, {
    remedy: 'Wait for it to end.',
    facts: { [kind === 'volume' ? 'file' : 'vm']: name },
  });
}
