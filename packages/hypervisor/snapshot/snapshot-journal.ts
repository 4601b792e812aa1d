/**
 * What a machine's snapshot cannot say of itself: how consistent it is. One small file for each, beside the program's
 * other state; the images alone decide which snapshots there are, and one without its record is only of unknown worth.
 */
import { createHash } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@holdfast/base';
import { OverlayJournal } from './overlay-journal.ts';
import { writeDocument } from './write-document.ts';

/** `clean`: the machine was off. `filesystem`: its file systems were frozen. `crash`: what pulling the plug leaves. */
export type SnapshotConsistency = 'clean' | 'filesystem' | 'crash';

export type SnapshotNote = {
  readonly consistency: SnapshotConsistency;
  /** Why not better; null when it is as good as can be. */
  readonly reason: string | null;
};

type SnapshotKey = {
  /** Of the machine. */
  readonly uuid: string;
  readonly name: string;
  /** Of the first disk's snapshot: another one of this name is another snapshot. */
  readonly takenAtMs: number;
};

export class SnapshotJournal {
  readonly overlays: OverlayJournal;
  readonly #directory: string;

  constructor({ stateDirectory }: { readonly stateDirectory: string }) {
    this.#directory = join(stateDirectory, 'snapshots');
    this.overlays = new OverlayJournal({ directory: this.#directory });
  }

  /** In one step. @throws target_full, target_unwritable */
  async write(key: SnapshotKey, note: SnapshotNote): Promise<void> {
    await writeDocument(this.#path(key), { version: 1, ...key, ...note });
  }

  /** Undefined when there is none for this very snapshot. */
  async read(key: SnapshotKey): Promise<SnapshotNote | undefined> {
    try {
      const record = JSON.parse(await readFile(this.#path(key), 'utf8')) as Partial<SnapshotNote & SnapshotKey>;
      if (record.takenAtMs !== key.takenAtMs || record.name !== key.name) return undefined;
      const { consistency, reason } = record;
      if (consistency !== 'clean' && consistency !== 'filesystem' && consistency !== 'crash') return undefined;
      return { consistency, reason: typeof reason === 'string' ? reason : null };
    } catch (error) {
      if (error instanceof SyntaxError || systemErrorCode(error) !== undefined) return undefined;
      throw error;
    }
  }

  async remove(key: Omit<SnapshotKey, 'takenAtMs'>): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  /** A name may hold anything, slashes too. */
  #path({ uuid, name }: Omit<SnapshotKey, 'takenAtMs'>): string {
    return join(this.#directory, uuid, `${createHash('sha256').update(name).digest('hex').slice(0, 32)}.json`);
  }
}
