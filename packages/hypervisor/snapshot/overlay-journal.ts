/**
 * Snapshots that are layers: since such a snapshot its machine writes to an overlay on each disk, and the image below is what
 * the disk was. The images do not say what a layer is called, so each snapshot has a record beside the program's other state. It
 * is written before the overlays are made and outlives their commit, so that after a crash it tells what to go on with.
 *
 * A record names overlays only. Whether the snapshot is there, and which image it is, the chain of the disk says: it is
 * the one below its overlay, whatever was committed further down meanwhile.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@holdfast/base';
import type { SnapshotConsistency } from './snapshot-journal.ts';
import { writeDocument } from './write-document.ts';

export type OverlayRecord = {
  /** Of the machine. */
  readonly uuid: string;
  readonly name: string;
  readonly takenAtMs: number;
  /** `taking`: the overlays may be there or not. `deleting`: what is below them may have been written to. */
  readonly state: 'taking' | 'taken' | 'deleting';
  /** Undefined while nobody knows. */
  readonly consistency: SnapshotConsistency | undefined;
  readonly reason: string | null;
  /** On each disk, by its target. */
  readonly overlays: readonly { readonly target: string; readonly path: string }[];
};

export class OverlayJournal {
  readonly #directory: string;

  /** @param options.directory that of all machines */
  constructor({ directory }: { readonly directory: string }) {
    this.#directory = directory;
  }

  /** In one step, and durable. @throws target_full, target_unwritable */
  async write(record: OverlayRecord): Promise<void> {
    await writeDocument(this.#path(record), { version: 1, ...record, consistency: record.consistency ?? null });
  }

  async remove(record: OverlayRecord): Promise<void> {
    await rm(this.#path(record), { force: true });
  }

  /** Oldest first; files that are none of ours are passed over. */
  async list(uuid: string): Promise<readonly OverlayRecord[]> {
    const directory = join(this.#directory, uuid, 'overlays');
    const records: OverlayRecord[] = [];
    for (const name of await namesIn(directory)) {
      if (!name.endsWith('.json')) continue;
      const record = parseRecord(await readFile(join(directory, name), 'utf8').catch(() => ''));
      if (record?.uuid === uuid) records.push(record);
    }
    return records.toSorted((one, other) => one.takenAtMs - other.takenAtMs);
  }

  /** Of every machine. */
  async listAll(): Promise<readonly OverlayRecord[]> {
    const records: OverlayRecord[] = [];
    for (const uuid of await namesIn(this.#directory)) records.push(...(await this.list(uuid)));
    return records;
  }

  /** A name may hold anything, slashes too; one that was used before may lie on disks that the machine has no more. */
  #path({ uuid, name, takenAtMs }: OverlayRecord): string {
    const digest = createHash('sha256').update(name).digest('hex').slice(0, 32);
    return join(this.#directory, uuid, 'overlays', `${digest}-${takenAtMs}.json`);
  }
}

async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return [];
  }
}

function parseRecord(text: string): OverlayRecord | undefined {
  let parsed: Partial<Record<keyof OverlayRecord | 'version', unknown>>;
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    return undefined;
  }
  const { version, uuid, name, takenAtMs, state, consistency, reason, overlays } = parsed;
  if (version !== 1 || typeof uuid !== 'string' || typeof name !== 'string' || typeof takenAtMs !== 'number')
    return undefined;
  if (state !== 'taking' && state !== 'taken' && state !== 'deleting') return undefined;
  if (!Array.isArray(overlays) || !overlays.every(isOverlay)) return undefined;
  return {
    uuid,
    name,
    takenAtMs,
    state,
    consistency: consistency === 'filesystem' || consistency === 'crash' ? consistency : undefined,
    reason: typeof reason === 'string' ? reason : null,
    overlays,
  };
}

function isOverlay(value: unknown): value is OverlayRecord['overlays'][number] {
  if (typeof value !== 'object' || value === null) return false;
  const { target, path } = value as Readonly<Record<string, unknown>>;
  return typeof target === 'string' && typeof path === 'string';
}
