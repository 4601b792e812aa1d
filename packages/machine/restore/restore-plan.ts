/** What a restore is going to make. Decided before the first byte is written, and noted (unfinished-restore.ts). */
import { dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { unfinishedPath } from '@holdfast/hypervisor/snapshot';
import { z } from 'zod';

const diskSchema = z.strictObject({
  /** As the point and the machine call it: `vda`. */
  name: z.string(),
  format: z.enum(['raw', 'qcow2']),
  /** Of the file that is made. */
  path: z.string(),
});

export const restorePlanSchema = z.strictObject({
  /** A machine of its own; fresh disks of a machine that exists, from a point or a snapshot; a disk without a machine. */
  kind: z.enum(['new', 'in_place', 'snapshot', 'volume']),
  /** Of the repository's `repo.json`; null for a snapshot. */
  repository: z.uuid().nullable(),
  /** Of a snapshot: its time and name. */
  point: z.string(),
  /** The machine's name; of a volume, its file's. */
  name: z.string(),
  /** Of the machine; null for a volume. */
  uuid: z.uuid().nullable(),
  disks: z.array(diskSchema),
  /** File of the UEFI variables that is made; null when there is none. */
  nvram: z.string().nullable(),
  /** Directory of the TPM's state that is made; null when there is none. */
  tpm: z.string().nullable(),
  /** What the machine had instead: paths of its disks and UEFI variables, by disk (or `nvram`). */
  replaced: z.array(z.strictObject({ name: z.string(), path: z.string() })),
});

export type RestorePlan = z.output<typeof restorePlanSchema>;
export type PlannedDisk = z.output<typeof diskSchema>;

/** Everything that it makes. */
export function madePaths({ kind, disks, nvram, tpm }: RestorePlan): readonly string[] {
  const images = disks.map(({ path }) => path);
  const unfinished = kind === 'snapshot' ? images.map(unfinishedPath) : [];
  return [...images, ...unfinished, ...[nvram, tpm].filter((path) => path !== null)];
}

/** Whether both are of the same wish: then what one has written already serves the other. */
export function isSameRestore(one: RestorePlan, other: RestorePlan): boolean {
  return isDeepStrictEqual(wishOf(one), wishOf(other));
}

function wishOf({ kind, repository, point, name, disks }: RestorePlan): object {
  const places = disks.map(({ name: disk, format, path }) => ({ disk, format, directory: dirname(path) }));
  return { kind, repository, point, name, places };
}
