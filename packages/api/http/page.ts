/** A page of a list: one more row than asked for tells whether there is a next one. */
import { decodeCursor, encodeCursor, type Filters } from './cursor.ts';

export type PageRequest<Row, Key extends string | number> = {
  readonly query: {
    readonly limit: number;
    readonly cursor?: string | undefined;
    readonly count?: 'true' | 'false' | undefined;
  };
  readonly filters: Filters;
  readonly keyOf: (row: Row) => Key;
  /** At most `limit` rows from behind `after`. */
  readonly list: (page: { readonly after: Key | undefined; readonly limit: number }) => Promise<readonly Row[]>;
  readonly count: () => Promise<number>;
};

/** @throws request_invalid for a cursor of another list */
export async function pageOfRows<Row, Key extends string | number, Item>(
  { query, filters, keyOf, list, count }: PageRequest<Row, Key>,
  present: (row: Row) => Item,
): Promise<{ items: Item[]; next_cursor: string | null; count?: number }> {
  const { limit, cursor } = query;
  // Cursors are made of such keys alone.
  const after = cursor === undefined ? undefined : (decodeCursor(cursor, filters) as Key);
  const rows = await list({ after, limit: limit + 1 });
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    items: shown.map(present),
    next_cursor: rows.length > limit && last !== undefined ? encodeCursor(keyOf(last), filters) : null,
    ...(query.count === 'true' && { count: await count() }),
  };
}
