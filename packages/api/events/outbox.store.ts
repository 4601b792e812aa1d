/** Rows of the outbox: written by changes without a number, numbered after their commit, read by number. */
import type { Schema } from '@holdfast/database';
import { type Kysely, type Selectable, sql } from 'kysely';

export type PublishedEvent = Selectable<Schema['outbox']> & { readonly seq: number };

/** Published events are told on this channel. */
export const eventChannel = 'event';

/** Of the advisory lock of whoever publishes: "publ", in hex. */
const publishLock = 0x7075626c;

/** At once; the next come after it. */
const publishBatch = 1000;

/**
 * Numbers what has been committed. One server does so at a time, so a reader who has seen 7 never misses a 6. By the age of
 * their transactions, what follows from another comes after it, also within a millisecond. Whoever removes old events has
 * to leave the newest: the next number follows from it.
 * @returns how many
 */
export async function publishEvents(db: Kysely<Schema>): Promise<number> {
  return await db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${publishLock})`.execute(transaction);
    const { numAffectedRows = 0n } = await sql`
      update outbox set seq = numbered.seq from (
        select id, row_number() over (order by age(xmin) desc, id) + (select coalesce(max(seq), 0) from outbox) as seq
        from outbox where seq is null order by age(xmin) desc, id limit ${publishBatch}
      ) as numbered where outbox.id = numbered.id`.execute(transaction);
    if (numAffectedRows > 0n) await sql`select pg_notify(${eventChannel}, '')`.execute(transaction);
    return Number(numAffectedRows);
  });
}

/** In order, from behind `afterSeq`. */
export async function readEvents(
  db: Kysely<Schema>,
  { afterSeq, limit }: { readonly afterSeq: number; readonly limit: number },
): Promise<readonly PublishedEvent[]> {
  return await db
    .selectFrom('outbox')
    .selectAll()
    .where('seq', '>', afterSeq)
    .orderBy('seq')
    .limit(limit)
    .$narrowType<{ seq: number }>()
    .execute();
}

/** 0 when there are none. */
export async function lastSeq(db: Kysely<Schema>): Promise<number> {
  const row = await db
    .selectFrom('outbox')
    .select(({ fn }) => fn.max('seq').as('seq'))
    .executeTakeFirst();
  return row?.seq ?? 0;
}
