/**
 * Where the next page begins: the key of the last item of this one, and a mark of the filters it was made under. Opaque to
 * clients, but no secret: rows are filtered by who asks, on every page anew.
 */
import { createHash } from 'node:crypto';
import { HoldfastError } from '@holdfast/base';
import { z } from 'zod';

const content = z.strictObject({ after: z.union([z.string().max(100), z.int()]), filters: z.string() });

/** What a list is filtered by. */
export type Filters = Readonly<Record<string, string | undefined>>;

export function encodeCursor(after: string | number, filters: Filters): string {
  return Buffer.from(JSON.stringify({ after, filters: markOf(filters) })).toString('base64url');
}

/** @throws request_invalid when it is none of ours, or of a list with other filters */
export function decodeCursor(cursor: string, filters: Filters): string | number {
  const parsed = content.safeParse(parseJson(Buffer.from(cursor, 'base64url').toString('utf8')));
  if (!parsed.success) throw cursorInvalid('It is no next_cursor of a page before.');
  if (parsed.data.filters !== markOf(filters)) throw cursorInvalid('It belongs to a list with other filters.');
  return parsed.data.after;
}

function cursorInvalid(message: string): HoldfastError {
  return new HoldfastError('request_invalid', 'The cursor cannot be used.', {
    errors: [{ pointer: '/query/cursor', message }],
    remedy: 'Begin again without a cursor.',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function markOf(filters: Filters): string {
  const set = Object.entries(filters).filter(([, value]) => value !== undefined);
  const text = JSON.stringify(set.toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return createHash('sha256').update(text).digest('base64url').slice(0, 11);
}
