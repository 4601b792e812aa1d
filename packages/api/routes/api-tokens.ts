import { HoldfastError } from '@holdfast/base';
import {
  type ApiToken,
  createToken as createTokenCall,
  getToken,
  listTokens as listTokensCall,
  revokeToken as revokeTokenCall,
  type Scope,
} from '@holdfast/contracts';
import {
  type Actor,
  type ApiTokenRow,
  countTokens,
  createToken,
  findToken,
  findUser,
  listTokens,
  revokeToken,
  sees,
  tokensSeenBy,
} from '@holdfast/domain';
import { pageOfRows } from '../http/page.ts';
import { addRoute, type Routes } from '../http/route.ts';
import type { Services } from '../services.ts';
import { expectSeenAccount } from './accounts.ts';

export function addApiTokenRoutes(routes: Routes): void {
  const { services } = routes;
  const { db } = services.database;

  addRoute(routes, listTokensCall, async ({ actor, query }) => {
    const { account_id: accountId, user_id: userId } = query;
    await expectSeenAccount(services, actor, accountId);
    await expectSeenUser(services, actor, userId);
    const asked = { ...(accountId !== undefined && { accountId }), ...(userId !== undefined && { userId }) };
    const own = tokensSeenBy(actor);
    // Of a colleague there is nothing to be seen, though the colleague is.
    const isOthers = own.userId !== undefined && userId !== undefined && userId !== own.userId;
    const request = { ...asked, ...own };
    return await pageOfRows(
      {
        query,
        filters: asked,
        keyOf: ({ id }: ApiTokenRow) => id,
        list: async ({ after, limit }) => (isOthers ? [] : await listTokens(db, { ...request, afterId: after, limit })),
        count: async () => (isOthers ? 0 : await countTokens(db, request)),
      },
      presentToken,
    );
  });

  addRoute(routes, createTokenCall, async ({ body, change }) => {
    const expiresAt = body.expires_at === null ? null : new Date(body.expires_at);
    return await change(async (changing) => {
      const { row, token } = await createToken(changing, { name: body.name, scopes: body.scopes, expiresAt });
      return { ...presentToken(row), token };
    });
  });

  addRoute(routes, getToken, async ({ actor, params }) => {
    const row = await findToken(db, { ...tokensSeenBy(actor), id: params.token_id });
    if (row) return presentToken(row);
    throw new HoldfastError('token_not_found', `There is no API token ${params.token_id}.`);
  });

  addRoute(routes, revokeTokenCall, async ({ params, version, change }) => {
    return await change((changing) => revokeToken(changing, { id: params.token_id, version }));
  });
}

/** @throws user_not_found */
async function expectSeenUser({ database }: Services, actor: Actor, id: string | undefined): Promise<void> {
  if (id === undefined) return;
  const user = await findUser(database.db, id);
  if (user?.account_ids.some((accountId) => sees(actor, accountId))) return;
  throw new HoldfastError('user_not_found', `There is no user ${id}.`);
}

function presentToken(row: ApiTokenRow): ApiToken {
  const { id, user_id, account_id, name, hint, version } = row;
  return {
    id,
    user_id,
    account_id,
    name,
    hint,
    // Written by this API alone, of these words.
    scopes: [...row.scopes] as Scope[],
    expires_at: row.expires_at?.toISOString() ?? null,
    last_used_at: row.last_used_at?.toISOString() ?? null,
    version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
