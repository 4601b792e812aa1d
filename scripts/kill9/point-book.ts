/** The oracle: which points there are, what each holds, and what the next look may find of it. */
import type { DiskContent } from './machine-disk.ts';

/** `absent`: it was never made. `gone`: it was purged. */
export type PointState = 'absent' | 'available' | 'trashed' | 'gone';

export type PointRecord = {
  /** Of the command that makes it; nobody else has it. */
  readonly label: string;
  readonly resource: string;
  readonly disks: ReadonlyMap<string, DiskContent>;
  /** Unknown until it was seen. */
  id: string | undefined;
  state: PointState;
};

/** What was seen on the storage. */
export type SeenPoint = {
  readonly id: string;
  readonly label: string | null;
  readonly resource: string;
  readonly state: 'available' | 'trashed';
};

/** A promise of the command that does not hold. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise';
}

export class PointBook {
  /** By label; those that are gone too, as they must not come back. */
  readonly #records = new Map<string, PointRecord>();

  /** A command begins that makes this point. */
  expect(point: Pick<PointRecord, 'label' | 'resource' | 'disks'>): PointRecord {
    const record: PointRecord = { ...point, id: undefined, state: 'absent' };
    this.#records.set(record.label, record);
    return record;
  }

  all(state: PointState, resource?: string): readonly PointRecord[] {
    return [...this.#records.values()].filter(
      (record) => record.state === state && (resource === undefined || record.resource === resource),
    );
  }

  labelled(label: string | null): PointRecord | undefined {
    return label === null ? undefined : this.#records.get(label);
  }

  withId(id: string): PointRecord | undefined {
    return [...this.#records.values()].find((record) => record.id === id);
  }

  /** Takes over what was seen. @throws BrokenPromise when it is not what `possible` allows */
  learn(seen: readonly SeenPoint[], possible: Possible): void {
    const byLabel = new Map(seen.map((point) => [point.label, point]));
    if (byLabel.size < seen.length) throw new BrokenPromise('Two points have the same label: a command ran twice.');
    for (const record of this.#records.values()) {
      const point = byLabel.get(record.label);
      byLabel.delete(record.label);
      const found = point?.state ?? (record.state === 'absent' ? 'absent' : 'gone');
      const allowed = possible.of(record);
      if (!allowed.has(found)) {
        throw new BrokenPromise(
          `Point ${record.id ?? ''} "${record.label}" of ${record.resource} is ${found}, and must be ${[...allowed].join(' or ')}.`,
        );
      }
      if (point && record.id !== undefined && point.id !== record.id) {
        throw new BrokenPromise(`Point "${record.label}" was ${record.id} and is ${point.id}.`);
      }
      record.state = found;
      record.id ??= point?.id;
    }
    const [stranger] = byLabel.values();
    if (stranger) throw new BrokenPromise(`Nobody has made point ${stranger.id} "${stranger.label}".`);
  }
}

/** What the next look may find: what was so before, and what commands that ran since may have made of it. */
export class Possible {
  readonly #states = new Map<PointRecord, ReadonlySet<PointState>>();

  of(record: PointRecord): ReadonlySet<PointState> {
    return this.#states.get(record) ?? new Set([record.state]);
  }

  /** Not known whether it happened. */
  may(record: PointRecord, state: PointState): void {
    this.#states.set(record, new Set([...this.of(record), state]));
  }

  must(record: PointRecord, state: PointState): void {
    this.#states.set(record, new Set([state]));
  }
}
