/**
 * What somebody is doing with a machine that must be undone if he dies: a small file, written before it happens. It says
 * nothing about disks or points; it says that a guest may be frozen or its hook waiting, and which job and files are left.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { systemErrorCode } from '@holdfast/base';
import { z } from 'zod';

const recordSchema = z.strictObject({
  version: z.literal(1),
  /** The libvirt that has the machine. */
  uri: z.string(),
  uuid: z.string(),
  name: z.string(),
  pid: z.int(),
  started_at: z.iso.datetime(),
  /** Since when the guest may be frozen; null when it is known to be thawed. */
  frozen_since: z.iso.datetime().nullable(),
  /** The hook in the guest that may have been called with `freeze`, and was not called with `thaw` yet. */
  open_hook: z.strictObject({ path: z.string(), timeout_ms: z.int() }).nullable(),
  /** Directory of the backup job: its socket and its scratch files. */
  scratch: z.string().nullable(),
});

export type WorkRecord = Omit<z.output<typeof recordSchema>, 'version'>;

/** What a guest is kept from until somebody lets it go on. */
export type HeldGuest = Pick<WorkRecord, 'frozen_since' | 'open_hook'>;

/** Replaces the file as a whole: whoever reads it finds the old one or the new one. */
export async function writeWorkRecord(path: string, record: WorkRecord): Promise<void> {
  await writeFile(`${path}.new`, `${JSON.stringify({ version: 1, ...record }, null, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Undefined when there is none, or none that this version can read. */
export async function readWorkRecord(path: string): Promise<WorkRecord | undefined> {
  try {
    const { version: _, ...record } = recordSchema.parse(JSON.parse(await readFile(path, 'utf8')));
    return record;
  } catch (error) {
    const isOurs = !['ENOENT', 'EACCES'].includes(systemErrorCode(error) ?? '');
    if (isOurs && !(error instanceof SyntaxError) && !(error instanceof z.ZodError)) throw error;
    return undefined;
  }
}

export async function removeWorkRecord(path: string): Promise<void> {
  await rm(path, { force: true });
}
