/**
 * What happens when a part of the index cannot be used. The index is advisory: a lost part costs only that its chunks
 * are uploaded again, so damage is reported, counted as "absent" and never thrown.
 */
import { hasCode } from '@holdfast/base';

export type IndexDamage = {
  /** Object concerned, or the prefix when listing failed. */
  readonly key: string;
  /**
   * `vanished`: somebody merged or collected it (normal beside other sessions). `corrupt`: bytes do not fit their
   * checksum, size or version. `unreadable`: the storage failed; may pass.
   */
  readonly reason: 'vanished' | 'corrupt' | 'unreadable';
  readonly detail: string;
};

export type OnIndexDamage = (damage: IndexDamage) => void;

/** Never throws; an error that is no damage of an object (abort) must be sorted out before. */
export function damageFrom(key: string, error: unknown): IndexDamage {
  const detail = error instanceof Error ? error.message : String(error);
  if (hasCode(error, 'object_not_found')) return { key, reason: 'vanished', detail };
  if (hasCode(error, 'repository_damaged', 'repository_newer')) return { key, reason: 'corrupt', detail };
  return { key, reason: 'unreadable', detail };
}
