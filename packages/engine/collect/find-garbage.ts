/** Rule *find*: what nobody uses and nobody is making. */
import { hasCode, runLanes } from '@holdfast/base';
import { nonceOfPackHeader, packHeaderBytes } from '../pack/pack-format.ts';
import { packKey } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import type { SessionRecord } from '../session/session.ts';
import type { CondemnedPack } from './condemned.ts';
import type { Liveness } from './liveness.ts';
import type { PackCensus } from './pack-census.ts';

const headerLanes = 16;

export type Garbage = CondemnedPack & { readonly sizeBytes: number };

/**
 * In the census's order.
 * @param request.sessions listed after the packs: a pack that bears the nonce of one is in the making
 */
export async function findGarbage(request: {
  readonly repository: Repository;
  readonly census: PackCensus;
  readonly liveness: Liveness;
  readonly sessions: readonly SessionRecord[];
  /** Packs that an epoch has condemned or this run has deleted. */
  readonly dealtWith: ReadonlySet<string>;
  readonly signal?: AbortSignal | undefined;
}): Promise<readonly Garbage[]> {
  const { repository, census, liveness, sessions, dealtWith } = request;
  const found: Garbage[] = [];
  for (let ordinal = 0; ordinal < census.count; ordinal += 1) {
    const standing = liveness.standingOf(ordinal);
    if (standing === 'used') continue;
    const isListed = census.isListed(ordinal);
    // What is gone already is garbage together with its forwardings, once nobody needs those.
    if (!isListed && standing === 'moved') continue;
    const pack = census.idOf(ordinal);
    if (dealtWith.has(pack)) continue;
    found.push({
      domain: repository.domain,
      pack,
      kind: census.kindOf(ordinal),
      moved: standing === 'moved',
      sizeBytes: census.sizeOf(ordinal),
    });
  }
  if (sessions.length === 0) return found;
  const inTheMaking = await packsOfSessions({ ...request, packs: found });
  return found.filter(({ pack }) => !inTheMaking.has(pack));
}

/**
 * Which of these packs a listed session has put, or may have put: a header that cannot be read proves nothing.
 * Answers the session's id by pack; an empty one where it cannot be told.
 */
export async function packsOfSessions(request: {
  readonly repository: Repository;
  readonly sessions: readonly SessionRecord[];
  readonly packs: Iterable<Pick<Garbage, 'pack' | 'kind'>>;
  readonly signal?: AbortSignal | undefined;
}): Promise<ReadonlyMap<string, string>> {
  const { repository, sessions, packs, signal } = request;
  const { store, domain } = repository;
  const byNonce = new Map(sessions.map(({ nonce, id }) => [nonce, id]));
  const owned = new Map<string, string>();
  await runLanes({
    jobs: packs,
    lanes: headerLanes,
    signal,
    run: async ({ pack, kind }) => {
      try {
        const range = { offset: 0, length: packHeaderBytes };
        const nonce = nonceOfPackHeader(await store.get(packKey({ domain, kind, packId: pack }), { range, signal }));
        const owner = nonce === undefined ? '' : byNonce.get(nonce);
        if (owner !== undefined) owned.set(pack, owner);
      } catch (error) {
        if (!hasCode(error, 'object_not_found')) throw error;
      }
    },
  });
  return owned;
}
