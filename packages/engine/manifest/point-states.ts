/**
 * Which listed manifests count, from one listing of the trash records and one of the fences; records are fetched only
 * for points that have one. States that make a point not count (`purging`, `void`) are final, so it does not matter in
 * which order trash, fences and points are listed.
 */
import { type Fences, listFences, readVerdict, type Verdict } from '../session/fences.ts';
import type { Repository } from '../repository/repository.ts';
import { listTombs, readTomb, type Tomb } from './tombs.ts';

/**
 * `trashed`: deleted and still whole, can be undeleted. `purging`: gone for good, its manifest is about to be deleted.
 * `void`: its session was fenced before it committed; it never existed.
 */
export type PointState = 'available' | 'trashed' | 'purging' | 'void';

/** Whether packs that a point in this state uses must stay. */
export function doesCount(state: PointState): boolean {
  return state === 'available' || state === 'trashed';
}

export type TrashState = {
  readonly state: Exclude<PointState, 'void'>;
  /** Of the record that says so; 0 when there is none. */
  readonly number: number;
  readonly tomb: Tomb | undefined;
};

const stateByRecord = { undeleted: 'available', deleted: 'trashed', purging: 'purging' } as const;

type Request = {
  readonly repository: Repository;
  readonly signal?: AbortSignal | undefined;
};

export class PointStates {
  readonly #request: Request;
  readonly #tombs: ReadonlyMap<string, number>;
  /** Undefined: asked for session by session. */
  readonly #fences: Fences | undefined;
  readonly #verdicts = new Map<string, Promise<Verdict>>();

  private constructor(request: Request, tombs: ReadonlyMap<string, number>, fences: Fences | undefined) {
    this.#request = request;
    this.#tombs = tombs;
    this.#fences = fences;
  }

  /** Of all points. @throws storage errors */
  static async read(request: Request): Promise<PointStates> {
    return new PointStates(request, await listTombs(request), await listFences(request));
  }

  /** Of one point, which asks for less. @throws storage errors */
  static async readOne(request: Request & { readonly pointId: string }): Promise<PointStates> {
    return new PointStates(request, await listTombs(request), undefined);
  }

  /** What the trash says of it, and the record that says so. @throws repository_damaged, storage errors */
  async inTrash(pointId: string): Promise<TrashState> {
    const { repository, signal } = this.#request;
    const number = this.#tombs.get(pointId) ?? 0;
    const tomb = number === 0 ? undefined : await readTomb(repository, { pointId, number, signal });
    // A record that is gone since it was listed was the last of a purged point.
    if (!tomb) return { state: number === 0 ? 'available' : 'purging', number, tomb };
    return { state: stateByRecord[tomb.state], number, tomb };
  }

  /** Whether the verdict over the point's session is another point, or none. @throws repository_damaged, storage errors */
  async isVoid(point: { readonly pointId: string; readonly sessionId: string }): Promise<boolean> {
    const { repository, signal } = this.#request;
    const fences = this.#fences ?? (await listFences({ repository, sessionId: point.sessionId, signal }));
    if (fences.get(point.sessionId)?.settled !== true) return false;
    let verdict = this.#verdicts.get(point.sessionId);
    if (!verdict) {
      verdict = readVerdict(repository, point.sessionId, signal);
      this.#verdicts.set(point.sessionId, verdict);
    }
    return (await verdict).committed !== point.pointId;
  }

  /** Both together. @param point.state what `inTrash` said */
  async stateOf(point: {
    readonly state: Exclude<PointState, 'void'>;
    readonly pointId: string;
    readonly sessionId: string;
  }): Promise<PointState> {
    return doesCount(point.state) && (await this.isVoid(point)) ? 'void' : point.state;
  }
}
