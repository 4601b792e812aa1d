/** Pages of lists: `?limit=50&cursor=...` answers `{items, next_cursor}`. */
import { z } from 'zod';

export const maxPageItems = 200;

/** Query strings are text: `"50"`. */
export const listQuery = {
  limit: z.coerce.number().int().min(1).max(maxPageItems).default(50).describe('Items of a page'),
  cursor: z
    .string()
    .min(1)
    .max(512)
    .optional()
    .describe('next_cursor of the page before; it belongs to the same filters'),
  count: z.enum(['true', 'false']).optional().describe('true counts all items that the filters match'),
};

export function pageOf<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next_cursor: z.string().nullable().describe('null on the last page'),
    count: z.int().optional().describe('All items, when asked for'),
  });
}
