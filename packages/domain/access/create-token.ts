import { HoldfastError, newId } from '@holdfast/base';
import type { Scope } from '@holdfast/contracts';
import { recordChange } from '../audit/record-change.ts';
import type { ActorChanging } from './actor-changing.ts';
import { type ApiTokenRow, insertToken } from './api-token.store.ts';
import { newApiToken } from './secret-token.ts';

export type NewToken = {
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Null: never. */
  readonly expiresAt: Date | null;
};

/** For the actor's user and account. @throws scope_missing request_invalid */
export async function createToken(
  changing: ActorChanging,
  wanted: NewToken,
): Promise<{ readonly row: ApiTokenRow; readonly token: string }> {
  const { transaction, clock, actor } = changing;
  const { name, expiresAt } = wanted;
  const scopes = [...new Set(wanted.scopes)].toSorted();
  expectNoMoreThanOwn(changing, wanted);
  if (expiresAt !== null && expiresAt.getTime() <= clock.nowMs()) {
    throw new HoldfastError('request_invalid', 'The token would have expired already.', {
      errors: [{ pointer: '/body/expires_at', message: 'A time to come.' }],
    });
  }
  const { token, hint, hash } = newApiToken();
  const now = new Date(clock.nowMs());
  const row = await insertToken(transaction, {
    id: newId('tok', clock),
    account_id: actor.accountId,
    user_id: actor.userId,
    name,
    hint,
    token_hash: hash,
    scopes,
    expires_at: expiresAt,
    created_at: now,
    updated_at: now,
  });
  await recordChange(changing, {
    action: 'api_token.created',
    resource: `api_tokens/${row.id}`,
    accountId: actor.accountId,
    details: { name, scopes, expires_at: expiresAt?.toISOString() ?? null },
  });
  return { row, token };
}

/** A token that was stolen must not give birth to one that can more, or lives longer. */
function expectNoMoreThanOwn({ actor }: ActorChanging, { scopes, expiresAt }: NewToken): void {
  if (actor.by.kind !== 'token') return;
  const own = actor.by.scopes;
  const missing = scopes.filter((scope) => !own.includes(scope));
  if (missing.length > 0) {
    throw new HoldfastError('scope_missing', `The token that makes it lacks ${missing.join(' and ')} itself.`);
  }
  if (actor.expiresAt !== null && (expiresAt === null || expiresAt > actor.expiresAt)) {
    throw new HoldfastError('request_invalid', 'The token would outlive the one that makes it.', {
      errors: [{ pointer: '/body/expires_at', message: `At most ${actor.expiresAt.toISOString()}.` }],
    });
  }
}
