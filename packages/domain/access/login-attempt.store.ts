/** Rows of attempts to sign in. Few: they are gone after the window. */
import { type Clock, newId } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { type Attempt, attemptWindowMs } from './login-limit.ts';

/** Writes an attempt down, visible to all before it is judged. @returns its id */
export async function insertAttempt(
  db: Kysely<Schema>,
  request: { readonly email: string; readonly client: string; readonly clock: Clock },
): Promise<string> {
  const { email, client, clock } = request;
  const now = new Date(clock.nowMs());
  const windowStart = new Date(now.getTime() - attemptWindowMs);
  await db.deleteFrom('login_attempt').where('created_at', '<=', windowStart).execute();
  const id = newId('att', clock);
  await db.insertInto('login_attempt').values({ id, email, client, created_at: now, updated_at: now }).execute();
  return id;
}

/** Of this address, and of this client. */
export async function readAttempts(
  db: Kysely<Schema>,
  { email, client }: { readonly email: string; readonly client: string },
): Promise<readonly Attempt[]> {
  const rows = await db
    .selectFrom('login_attempt')
    .selectAll()
    .where((row) => row.or([row('email', '=', email), row('client', '=', client)]))
    .execute();
  return rows.map((row) => ({ email: row.email, client: row.client, atMs: row.created_at.getTime() }));
}

export async function deleteAttempt(db: Kysely<Schema>, id: string): Promise<void> {
  await db.deleteFrom('login_attempt').where('id', '=', id).execute();
}

/** Whoever knows the password is no guesser: what went wrong before is forgotten. */
export async function forgetAttempts(
  db: Kysely<Schema>,
  { email, client }: { readonly email: string; readonly client: string },
): Promise<void> {
  await db.deleteFrom('login_attempt').where('email', '=', email).where('client', '=', client).execute();
}
