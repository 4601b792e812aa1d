/** Writing `moved/` beside other keepers: of two that forward one slot, the first is right and the other's copy is garbage. */
import { hasCode } from '@holdfast/base';
import type { ChunkLocation } from '../index/chunk-location.ts';
import type { PackKind } from '../repository/layout.ts';
import type { Forwardings, SlotPlace } from './forwardings.ts';

export type Move = { readonly from: SlotPlace; readonly to: ChunkLocation };

/**
 * Answers the moves that were put, which are all unless another keeper was quicker.
 * @param request.moves from the last place of a chain each: a record never takes the place of another
 * @throws repository_damaged when a forwarding that came in between cannot be read, storage errors
 */
export async function putForwardings<Item extends Move>(request: {
  readonly forwardings: Forwardings;
  readonly kind: PackKind;
  readonly moves: readonly Item[];
  readonly signal?: AbortSignal | undefined;
}): Promise<Item[]> {
  const { forwardings, kind, moves, signal } = request;
  const put: Item[] = [];
  for (const [packId, group] of Map.groupBy(moves, ({ from }) => from.packId)) {
    let left = group;
    while (left.length > 0) {
      try {
        const places = new Map(left.map(({ from, to }) => [from.slot, to]));
        await forwardings.put({ packId, kind, moves: places, signal });
        put.push(...left);
        break;
      } catch (error) {
        if (!hasCode(error, 'object_exists')) throw error;
      }
      await forwardings.refresh([packId]);
      const moved = await forwardings.movesOf(packId);
      left = left.filter(({ from }) => !moved.has(from.slot));
    }
  }
  return put;
}
