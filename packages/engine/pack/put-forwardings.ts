/**
 * Writing `moved/` beside other keepers, and rule *settle* for it: of two keepers that forward one slot, the first is right
 * and the other's copy is garbage; of a session that is fenced meanwhile, what its verdict names counts.
 */
import { HoldfastError, hasCode } from '@holdfast/base';
import type { ChunkLocation } from '../index/chunk-location.ts';
import { fenceKey, type PackKind } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { fenceSession, type Session } from '../session/session.ts';
import type { Forwardings, SlotPlace } from './forwardings.ts';

export type Move = { readonly from: SlotPlace; readonly to: ChunkLocation };

type PutRequest<Item extends Move> = {
  readonly repository: Repository;
  /** A keeper's. */
  readonly session: Session;
  readonly forwardings: Forwardings;
  readonly kind: PackKind;
  /** From the last place of a chain each: a record never takes the place of another. */
  readonly moves: readonly Item[];
  readonly signal?: AbortSignal | undefined;
};

/**
 * Answers the moves that were put, which are all unless another keeper was quicker; from now on they count for ever. An
 * error leaves nothing unclear: a put that may still land is of a session that is fenced by then, or that is left as it is,
 * for a keeper to fence.
 * @throws session_fenced (its verdict says which moves count), repository_damaged when a forwarding that came in between
 * cannot be read, storage errors
 */
export async function putForwardings<Item extends Move>(request: PutRequest<Item>): Promise<Item[]> {
  const { session, moves, signal } = request;
  if (moves.length === 0) return [];
  // What the moves lead to is not safe from collection any more.
  if (await isFenced(request)) throw fenced(session);
  const put: Item[] = [];
  for (const [packId, group] of Map.groupBy(moves, ({ from }) => from.packId)) {
    signal?.throwIfAborted();
    put.push(...(await putOfPack(request, packId, group)));
  }
  let isLate: boolean;
  try {
    isLate = await isFenced(request);
  } catch (error) {
    await settle(request);
    throw error;
  }
  if (!isLate) return put;
  await settle(request);
  throw fenced(session);
}

async function putOfPack<Item extends Move>(
  request: PutRequest<Item>,
  packId: string,
  group: readonly Item[],
): Promise<readonly Item[]> {
  const { session, forwardings, kind } = request;
  let left = group;
  while (left.length > 0) {
    const places = new Map(left.map(({ from, to }) => [from.slot, to]));
    try {
      // Without a signal: half-way there is no answer.
      await forwardings.put({ sessionId: session.id, packId, kind, moves: places });
      return left;
    } catch (error) {
      if (!hasCode(error, 'object_exists')) {
        await settle(request);
        throw error;
      }
    }
    await forwardings.refresh([packId]);
    const moved = await forwardings.movesOf(packId);
    left = left.filter(({ from }) => !moved.has(from.slot));
  }
  return left;
}

async function isFenced({ repository, session }: PutRequest<Move>): Promise<boolean> {
  return (await repository.store.head(fenceKey(session.id))) !== undefined;
}

/** For what may have landed, or land later: the session ends by a fence, and the verdict is the answer for everybody. */
async function settle({ repository, session }: PutRequest<Move>): Promise<void> {
  try {
    await fenceSession(repository, session.id);
  } catch {
    // The failure before this one is the one to report.
    session.leave();
  }
}

function fenced({ id }: Session): HoldfastError {
  return new HoldfastError('session_fenced', `Session ${id} was fenced while it ran.`, {
    remedy: 'Run the command again: what it had done counts or is done anew.',
  });
}
