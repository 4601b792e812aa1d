/** How much may go on at once: of a host, a storage, an account. */
import { inTransaction } from '@holdfast/database';
import { sql } from 'kysely';
import { workChannel, type WorkContext } from './work-context.ts';

/** Fewer slots than are taken end nothing: no more are given until enough are free. */
export async function setCapacity(
  context: WorkContext,
  { key, slots }: { readonly key: string; readonly slots: number },
): Promise<void> {
  const now = new Date(context.clock.nowMs());
  await inTransaction(context, async (transaction) => {
    await sql`
      insert into capacity (key, slots, created_at, updated_at) values (${key}, ${slots}, ${now}, ${now})
      on conflict (key) do update
      set slots = excluded.slots, updated_at = excluded.updated_at, version = capacity.version + 1`.execute(
      transaction,
    );
    await sql`select pg_notify(${workChannel}, '')`.execute(transaction);
  });
}
