/**
 * A request that is sent again with the same `Idempotency-Key` answers as it did first: the answer is kept in the transaction
 * of what the request did, so there is neither an effect without an answer nor an answer without its effect. It is kept for
 * 24 h, sealed, for answers may hold secrets that are told once. What failed is not kept: it had no effect.
 */
import { createHash } from 'node:crypto';
import { type Clock, HoldfastError } from '@holdfast/base';
import { inTransaction, type Schema } from '@holdfast/database';
import type { Actor, Seal } from '@holdfast/domain';
import { type Kysely, sql, type Transaction } from 'kysely';
import { deleteExpiredRecords, findRecord, insertRecord } from './idempotency.store.ts';

export type OnceRequest = {
  readonly db: Kysely<Schema>;
  readonly clock: Clock;
  readonly seal: Seal;
  readonly actor: Actor;
  /** As the client sent it; undefined runs without. */
  readonly key: string | undefined;
  /** Method, path and body: what has to be the same the second time. */
  readonly fingerprint: string;
  readonly status: number;
};

export type Once<Answer> = { readonly answer: Answer; readonly isReplay: boolean };

const keptMs = 24 * 60 * 60_000;

/** @throws idempotency_in_progress idempotency_mismatch request_invalid, and what `work` throws */
export async function runOnce<Answer>(
  request: OnceRequest,
  work: (transaction: Transaction<Schema>) => Promise<Answer>,
): Promise<Once<Answer>> {
  const { db, clock, seal, actor, status } = request;
  const key = request.key === undefined ? undefined : hashOf(checkedKey(request.key));
  if (key === undefined) return { answer: await inTransaction({ db }, work), isReplay: false };
  const accountId = actor.accountId;
  const requestHash = hashOf(`${actor.userId}\n${request.fingerprint}`);
  const place = `idempotency:${accountId}:${key}`;
  return await inTransaction({ db }, async (transaction) => {
    await takeTurn(transaction, place);
    const now = new Date(clock.nowMs());
    await deleteExpiredRecords(transaction, { accountId, now });
    const record = await findRecord(transaction, { accountId, key });
    if (record) {
      if (record.request_hash !== requestHash) {
        throw new HoldfastError('idempotency_mismatch', 'Another request was sent with this Idempotency-Key before.');
      }
      return { answer: JSON.parse(seal.open(place, record.response as string)) as Answer, isReplay: true };
    }
    const answer = await work(transaction);
    await insertRecord(transaction, {
      account_id: accountId,
      key,
      request_hash: requestHash,
      response_status: status,
      response: JSON.stringify(seal.seal(place, JSON.stringify(answer))),
      expires_at: new Date(now.getTime() + keptMs),
      created_at: now,
      updated_at: now,
    });
    return { answer, isReplay: false };
  });
}

/** Whoever comes while the first is at work does not wait: it may take long. */
async function takeTurn(transaction: Transaction<Schema>, place: string): Promise<void> {
  const { rows } = await sql<{ is_mine: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended(${place}, 0)) as is_mine`.execute(transaction);
  if (rows[0]?.is_mine) return;
  throw new HoldfastError('idempotency_in_progress', 'The first request with this Idempotency-Key has not ended.', {
    retryAfterS: 1,
  });
}

function checkedKey(key: string): string {
  if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new HoldfastError('request_invalid', 'The Idempotency-Key cannot be used.', {
    errors: [{ pointer: '/headers/idempotency-key', message: '1 to 255 visible ASCII characters, such as a UUID.' }],
  });
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
