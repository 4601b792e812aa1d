/** Rule *find*: which packs are in use, forwardings followed as far as they lead. */
import { runLanes } from '@holdfast/base';
import { type FollowOptions, Forwardings, type SlotPlace } from '../pack/forwardings.ts';
import { packIdOf, packsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { PackCensus } from './pack-census.ts';
import type { SlotSets } from './slot-sets.ts';

const forwardingLanes = 16;

export async function listPacks(repository: Repository, signal?: AbortSignal): Promise<PackCensus> {
  const census = new PackCensus();
  for (const kind of ['data', 'meta'] as const) {
    for await (const { key, sizeBytes } of repository.store.list(packsPrefix(repository.domain, kind), { signal })) {
      const packId = packIdOf(key);
      if (/^[0-9a-f]{64}$/.test(packId)) census.add({ packId, kind, sizeBytes });
    }
  }
  return census;
}

/**
 * The forwardings as listed now. Packs that they lead away from join the census, where they are gone themselves.
 * @throws repository_damaged when one of them cannot be read
 */
export async function readForwardings(
  repository: Repository,
  census: PackCensus,
  signal?: AbortSignal,
): Promise<Forwardings> {
  const forwardings = new Forwardings(repository);
  await runLanes({
    jobs: await forwardings.packs(),
    lanes: forwardingLanes,
    signal,
    run: async (packId) => {
      await forwardings.movesOf(packId);
      census.add({ packId, kind: 'data', sizeBytes: undefined });
    },
  });
  return forwardings;
}

/** `used`: it must stay. `moved`: points use it, but every frame they use is forwarded, for good, to a pack that is there. */
export type PackStanding = 'used' | 'moved' | 'unused';

export class Liveness {
  readonly #live: SlotSets;
  readonly #moved: ReadonlySet<number>;

  private constructor(live: SlotSets, moved: ReadonlySet<number>) {
    this.#live = live;
    this.#moved = moved;
  }

  /**
   * @param request.used by points; what forwardings lead to is added
   * @param request.isStaying of a pack that a frame was forwarded to
   * @param request.isCut of a pack that was condemned as unused: what leads on from it may be deleted together with it
   * @throws repository_damaged when a forwarding cannot be read
   */
  static async of(request: {
    readonly census: PackCensus;
    readonly used: SlotSets;
    readonly forwardings: Forwardings;
    readonly isStaying: (ordinal: number) => boolean;
    readonly isCut?: (packId: string) => boolean;
  }): Promise<Liveness> {
    const { census, used, forwardings, isStaying, isCut = () => false } = request;
    const sources = new Map<number, string>();
    for (const packId of await forwardings.packs()) {
      const ordinal = census.findId(packId);
      if (ordinal >= 0) sources.set(ordinal, packId);
    }
    const chainOf = async (
      place: SlotPlace,
      options?: FollowOptions,
    ): Promise<readonly (SlotPlace & { readonly ordinal: number })[]> => {
      const chain = await Array.fromAsync(forwardings.chain(place, options));
      return chain.map(({ packId, slot }) => ({ packId, slot, ordinal: census.findId(packId) }));
    };
    for (const [source, packId] of sources) {
      for (const slot of [...used.slotsOf(source)]) {
        for (const place of await chainOf({ packId, slot }))
          if (place.ordinal >= 0) used.add(place.ordinal, place.slot);
      }
    }
    const moved = new Set<number>();
    for (const [source, packId] of sources) {
      let isMoved = true;
      for (const slot of used.slotsOf(source)) {
        const chain = await chainOf({ packId, slot }, { settled: true });
        const end = chain.find((place) => (place.ordinal >= 0 && isStaying(place.ordinal)) || isCut(place.packId));
        isMoved &&= end !== undefined && end.ordinal !== source && !isCut(end.packId);
        if (!isMoved) break;
      }
      if (isMoved) moved.add(source);
    }
    return new Liveness(used, moved);
  }

  standingOf(ordinal: number): PackStanding {
    if (this.#live.isEmpty(ordinal)) return 'unused';
    return this.#moved.has(ordinal) ? 'moved' : 'used';
  }
}
