/**
 * Rule *commit*: whether a point may use a place while packs are condemned. Packs condemned after this look wait for the
 * session that looks.
 */
import { Forwardings, type SlotPlace } from '../pack/forwardings.ts';
import { type PackKind, packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import type { CollectionState } from '../session/collection-state.ts';

export class CondemnedCheck {
  readonly #repository: Repository;
  readonly #condemned: CollectionState['condemnedPacks'];
  readonly #forwardings: Forwardings;
  readonly #signal: AbortSignal | undefined;
  readonly #present = new Map<string, Promise<boolean>>();
  #forwarded: Promise<ReadonlySet<string>> | undefined;

  /** @param condemned read before this object is made, which lists the forwardings */
  constructor(repository: Repository, condemned: CollectionState['condemnedPacks'], signal: AbortSignal | undefined) {
    this.#repository = repository;
    this.#condemned = condemned;
    this.#forwardings = new Forwardings(repository);
    this.#signal = signal;
  }

  /** Of this pack, whether all of these slots may be used. @throws repository_damaged when a forwarding cannot be read */
  async isUsable(pack: {
    readonly packId: string;
    readonly kind: PackKind;
    readonly slots: Iterable<number>;
  }): Promise<boolean> {
    const { packId, kind, slots } = pack;
    const condemnation = this.#condemned.get(packId);
    if (condemnation && !condemnation.moved) return false;
    if (!condemnation) {
      this.#forwarded ??= this.#forwardings.packs().then((packs) => new Set(packs));
      if (!(await this.#forwarded).has(packId) || (await this.#isPresent(packId, kind))) return true;
    }
    for (const slot of slots) if (!(await this.#leadsToSafety({ packId, slot }, kind))) return false;
    return true;
  }

  /** A forwarding that leads away from a pack condemned as unused may be deleted together with it. */
  async #leadsToSafety(from: SlotPlace, kind: PackKind): Promise<boolean> {
    for await (const { packId } of this.#forwardings.chain(from, { settled: true })) {
      const condemnation = this.#condemned.get(packId);
      if (condemnation && !condemnation.moved) return false;
      if (!condemnation && (await this.#isPresent(packId, kind))) return true;
    }
    return false;
  }

  #isPresent(packId: string, kind: PackKind): Promise<boolean> {
    let present = this.#present.get(packId);
    if (!present) {
      const { store, domain } = this.#repository;
      present = store
        .head(packKey({ domain, kind, packId }), { signal: this.#signal })
        .then((info) => info !== undefined);
      this.#present.set(packId, present);
    }
    return present;
  }
}
