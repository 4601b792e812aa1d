import { HoldfastError } from '@holdfast/base';
import {
  type Account,
  createAccount as createAccountCall,
  deleteAccount as deleteAccountCall,
  getAccount,
  listAccounts as listAccountsCall,
  updateAccount as updateAccountCall,
} from '@holdfast/contracts';
import {
  type AccountRow,
  type Actor,
  countAccounts,
  createAccount,
  deleteAccount,
  findAccount,
  listAccounts,
  sees,
  sightOf,
  updateAccount,
} from '@holdfast/domain';
import { pageOfRows } from '../http/page.ts';
import { addRoute, type Routes } from '../http/route.ts';
import type { Services } from '../services.ts';

export function addAccountRoutes(routes: Routes): void {
  const { db } = routes.services.database;

  addRoute(routes, listAccountsCall, async ({ actor, query }) => {
    const request = { sight: sightOf(actor), filter: { status: query.status } };
    return await pageOfRows(
      {
        query,
        filters: { status: query.status },
        keyOf: ({ id }: AccountRow) => id,
        list: ({ after, limit }) => listAccounts(db, { ...request, afterId: after, limit }),
        count: () => countAccounts(db, request),
      },
      presentAccount,
    );
  });

  addRoute(routes, createAccountCall, async ({ body, change }) => {
    return await change(async (changing) => presentAccount(await createAccount(changing, body)));
  });

  addRoute(routes, getAccount, async ({ actor, params }) => {
    return presentAccount(await seenAccount(routes.services, actor, params.account_id));
  });

  addRoute(routes, updateAccountCall, async ({ params, body, version, change }) => {
    const request = { id: params.account_id, change: body, version };
    return presentAccount(await change((changing) => updateAccount(changing, request)));
  });

  addRoute(routes, deleteAccountCall, async ({ params, version, change }) => {
    return await change((changing) => deleteAccount(changing, { id: params.account_id, version }));
  });
}

/** An account of others is as good as none. @throws account_not_found */
export async function seenAccount({ database }: Services, actor: Actor, id: string): Promise<AccountRow> {
  const account = sees(actor, id) ? await findAccount(database.db, id) : undefined;
  if (account) return account;
  throw new HoldfastError('account_not_found', `There is no account ${id}.`);
}

/** For a filter: that there is no such account is another answer than that it has nothing. @throws account_not_found */
export async function expectSeenAccount(services: Services, actor: Actor, id: string | undefined): Promise<void> {
  if (id !== undefined) await seenAccount(services, actor, id);
}

export function presentAccount(row: AccountRow): Account {
  const { id, kind, name, timezone, locale, status, inflight_limit, quota_bytes, version } = row;
  return {
    id,
    kind,
    name,
    timezone,
    locale,
    status,
    inflight_limit,
    quota_bytes,
    version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
