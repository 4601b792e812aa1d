/**
 * What the care model knows without asking the engine: which point has which content, what its writer was told, and what
 * users and keepers may have done to it. In doubt it demands less, never more.
 */
import type { MemoryDisk } from '@holdfast/testing';

const dayMs = 24 * 3600 * 1000;

export type Disks = Readonly<Record<string, MemoryDisk>>;

/** A broken promise; ends the history. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise';
}

/** A delete under way; `isSettled` once nothing of it can land any more. */
export type DeleteInFlight = { readonly isSettled: () => boolean };

export class PointRecord {
  readonly pointId: string;
  readonly key: string;
  readonly sessionId: string | undefined;
  readonly resource: string;
  readonly disks: Disks;
  /**
   * `kept`: its writer was told that it is committed, or a verdict names it, or a user was told that it is back. `never`:
   * its writer was told that there is none. `open`: nobody was told anything yet.
   */
  promise: 'open' | 'kept' | 'never' = 'open';
  /** Since when it may be in the trash. */
  #deletedSinceMs: number | undefined;
  /** The shortest trash period of the collections that may have seen it there. */
  #leastTrashDays = Number.POSITIVE_INFINITY;
  #deletes: DeleteInFlight[] = [];
  #deleteCount = 0;

  constructor(point: Pick<PointRecord, 'pointId' | 'key' | 'sessionId' | 'resource' | 'disks'>) {
    this.pointId = point.pointId;
    this.key = point.key;
    this.sessionId = point.sessionId;
    this.resource = point.resource;
    this.disks = point.disks;
  }

  /** Its packs must be there, and it is listed, in the trash or not. */
  mustCount(nowMs: number): boolean {
    return this.promise === 'kept' && !this.#mayBePurged(nowMs);
  }

  /** Nobody has deleted it since it was promised. */
  get mustBeAvailable(): boolean {
    return this.promise === 'kept' && this.#deletedSinceMs === undefined;
  }

  /**
   * Answers, when it is called later, whether the point was to be had all the time since. What somebody says who looked in
   * between may be of any moment of it: also of one before an undelete that was done when the answer came.
   */
  watchAvailability(): () => boolean {
    const { mustBeAvailable, deletesBegun } = this;
    return () => mustBeAvailable && this.mustBeAvailable && this.deletesBegun === deletesBegun;
  }

  get deletesBegun(): number {
    return this.#deleteCount;
  }

  get hasDeletesInFlight(): boolean {
    this.#deletes = this.#deletes.filter((one) => !one.isSettled());
    return this.#deletes.length > 0;
  }

  /** @param request.trashDays of the collections that run now */
  beginDelete(request: {
    readonly inFlight: DeleteInFlight;
    readonly nowMs: number;
    readonly trashDays: readonly number[];
  }): void {
    this.#deletes.push(request.inFlight);
    this.#deleteCount += 1;
    this.#deletedSinceMs ??= request.nowMs;
    this.#leastTrashDays = Math.min(this.#leastTrashDays, ...request.trashDays);
  }

  beginCollect(trashDays: number): void {
    if (this.#deletedSinceMs !== undefined) this.#leastTrashDays = Math.min(this.#leastTrashDays, trashDays);
  }

  /** An undelete succeeded, and no delete was under way at any time of it. */
  bringBack(): void {
    this.promise = 'kept';
    this.#deletedSinceMs = undefined;
    this.#leastTrashDays = Number.POSITIVE_INFINITY;
  }

  #mayBePurged(nowMs: number): boolean {
    return this.#deletedSinceMs !== undefined && nowMs - this.#deletedSinceMs >= this.#leastTrashDays * dayMs;
  }
}
