/** Which forwardings count (rules *fence* and *settled* of ADR 0007), from one listing of the fences. */
import { type Fences, listFences, readVerdict } from '../session/fences.ts';
import type { Repository } from '../repository/repository.ts';

/**
 * `settled`: it counts, for ever. `open`: its session is fenced and has no verdict yet; until then it counts, but nothing
 * may be built on it. `void`: the verdict does not name it, so it never counts.
 */
export type ForwardingStanding = 'settled' | 'open' | 'void';

export class ForwardingVerdicts {
  readonly #repository: Repository;
  readonly #fences: Fences;
  readonly #named = new Map<string, Promise<ReadonlySet<string>>>();

  private constructor(repository: Repository, fences: Fences) {
    this.#repository = repository;
    this.#fences = fences;
  }

  /** Speaks of forwardings that were listed before: whoever fences their session from now on sees them too. */
  static async read(repository: Repository): Promise<ForwardingVerdicts> {
    return new ForwardingVerdicts(repository, await listFences({ repository }));
  }

  /** @param record.name as verdicts name it. @throws repository_damaged when the verdict is, storage errors */
  async standingOf(record: { readonly name: string; readonly sessionId: string }): Promise<ForwardingStanding> {
    const { name, sessionId } = record;
    const fence = this.#fences.get(sessionId);
    if (!fence) return 'settled';
    if (!fence.settled) return 'open';
    let named = this.#named.get(sessionId);
    if (!named) {
      named = readVerdict(this.#repository, sessionId).then(({ forwarded }) => new Set(forwarded));
      this.#named.set(sessionId, named);
      named.catch(() => this.#named.delete(sessionId));
    }
    return (await named).has(name) ? 'settled' : 'void';
  }
}
