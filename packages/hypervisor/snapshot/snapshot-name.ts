/** Names of snapshots: what may be one, and which snapshot of an image is meant by one. */
import { HoldfastError } from '@holdfast/base';

/** QEMU keeps 255 bytes and drops the rest without a word. */
const MAX_NAME_BYTES = 255;

/** @throws snapshot_name_invalid */
export function checkSnapshotName(name: string): string {
  const why = whyInvalid(name);
  if (why === undefined) return name;
  throw new HoldfastError('snapshot_name_invalid', `${JSON.stringify(name.slice(0, 300))} ${why}`);
}

function whyInvalid(name: string): string | undefined {
  if (name.trim() === '') return 'is empty';
  if (name !== name.trim()) return 'begins or ends with a space';
  if (/[\p{Cc}\p{Cf}]/u.test(name)) return 'holds control characters';
  if (/^\d+$/.test(name)) return 'is a number, as the ids that QEMU gives';
  return Buffer.byteLength(name) > MAX_NAME_BYTES ? `is longer than ${MAX_NAME_BYTES} bytes` : undefined;
}

type Named = { readonly id: string; readonly name: string };

/**
 * The snapshot with this name, or else with this id. `where` is for the message.
 * @throws snapshot_not_found, snapshot_ambiguous when it has its name with another one: QEMU tells them apart by name
 */
export function findSnapshot<Snapshot extends Named>(
  snapshots: readonly Snapshot[],
  nameOrId: string,
  where: string,
): Snapshot {
  const found = snapshots.find(({ name }) => name === nameOrId) ?? snapshots.find(({ id }) => id === nameOrId);
  if (!found) {
    throw new HoldfastError('snapshot_not_found', `${where} has no snapshot ${JSON.stringify(nameOrId)}`, {
      facts: { snapshot: nameOrId },
    });
  }
  const alike = snapshots.filter(({ name }) => name === found.name);
  if (alike.length === 1) return found;
  throw new HoldfastError('snapshot_ambiguous', `${where} has ${alike.length} snapshots with the name ${found.name}`, {
    facts: { snapshot: found.name, ids: alike.map(({ id }) => id) },
  });
}

/** @throws snapshot_exists */
export function refuseTakenName(snapshots: readonly Named[], name: string, where: string): void {
  if (!snapshots.some((snapshot) => snapshot.name === name)) return;
  throw new HoldfastError('snapshot_exists', `${where} has a snapshot ${JSON.stringify(name)} already`, {
    facts: { snapshot: name },
  });
}
