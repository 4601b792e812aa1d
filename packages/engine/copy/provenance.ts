/** Which points are one and the same, in whatever repository: a copy says where it came from. */
import { type ListedPoint, listPoints, type RestorePoint } from '../manifest/points.ts';
import type { Repository } from '../repository/repository.ts';

export type Provenance = { readonly repository: string; readonly point: string };

/** Where the point was made first: of a copy of a copy, the original. */
export function provenanceOf(repository: Repository, point: RestorePoint): Provenance {
  const { manifest } = point;
  return manifest.copied_from ?? { repository: repository.configuration.repository, point: manifest.id };
}

/** Points of one resource in the target, by where they were made first. Those in its trash are there, too: they are whole. */
export class TargetPoints {
  readonly #points: ReadonlyMap<string, ListedPoint>;

  private constructor(points: ReadonlyMap<string, ListedPoint>) {
    this.#points = points;
  }

  /** @param request.known points that were read before, by key; those found are added */
  static async read(request: {
    readonly target: Repository;
    readonly resource: string;
    readonly known: Map<string, RestorePoint>;
    readonly signal?: AbortSignal | undefined;
  }): Promise<TargetPoints> {
    const { target: repository, resource, known, signal } = request;
    const { points } = await listPoints({ repository, resource, states: ['available', 'trashed'], known, signal });
    for (const point of points) known.set(point.key, point);
    return new TargetPoints(new Map(points.map((point) => [nameOf(provenanceOf(repository, point)), point])));
  }

  find(provenance: Provenance): ListedPoint | undefined {
    return this.#points.get(nameOf(provenance));
  }
}

function nameOf({ repository, point }: Provenance): string {
  return `${repository}/${point}`;
}
