import { HoldfastError } from '@holdfast/base';
import { recordChange } from '../audit/record-change.ts';
import type { Actor } from './actor.ts';
import type { ActorChanging } from './actor-changing.ts';
import { lockToken, revokeTokenRow, type TokenFilter } from './api-token.store.ts';
import { expectVersion } from './version.ts';

/** Which tokens the actor sees: administrators all, users what they made for their account. */
export function tokensSeenBy({ role, accountId, userId }: Actor): TokenFilter {
  return role === 'admin' ? {} : { accountId, userId };
}

/** It is refused from the next request on. @throws token_not_found precondition_failed */
export async function revokeToken(
  changing: ActorChanging,
  request: { readonly id: string; readonly version: number | undefined },
): Promise<void> {
  const { transaction, clock, actor } = changing;
  const token = await lockToken(transaction, { ...tokensSeenBy(actor), id: request.id });
  if (!token) throw new HoldfastError('token_not_found', `There is no API token ${request.id}.`);
  expectVersion(token, request.version);
  await revokeTokenRow(transaction, { id: token.id, now: new Date(clock.nowMs()) });
  await recordChange(changing, {
    action: 'api_token.revoked',
    resource: `api_tokens/${token.id}`,
    accountId: token.account_id,
    details: { name: token.name },
  });
}
