import { HoldfastError } from '@holdfast/base';
import {
  createUser as createUserCall,
  deleteUser as deleteUserCall,
  getUser,
  listUsers as listUsersCall,
  type User,
  updateUser as updateUserCall,
} from '@holdfast/contracts';
import {
  type Actor,
  countUsers,
  createUser,
  deleteUser,
  findUser,
  listUsers,
  sees,
  sightOf,
  type UserRow,
  updateUser,
} from '@holdfast/domain';
import { pageOfRows } from '../http/page.ts';
import { addRoute, type Routes } from '../http/route.ts';
import { expectSeenAccount } from './accounts.ts';

export function addUserRoutes(routes: Routes): void {
  const { services } = routes;
  const { hasher, database } = services;
  const { db } = database;

  addRoute(routes, listUsersCall, async ({ actor, query }) => {
    const { account_id: accountId, role, status, email } = query;
    await expectSeenAccount(services, actor, accountId);
    const request = { sight: sightOf(actor), filter: { accountId, role, status, email } };
    return await pageOfRows(
      {
        query,
        filters: request.filter,
        keyOf: ({ id }: UserRow) => id,
        list: ({ after, limit }) => listUsers(db, { ...request, afterId: after, limit }),
        count: () => countUsers(db, request),
      },
      (row) => presentUser(row, actor),
    );
  });

  addRoute(routes, createUserCall, async ({ actor, body, change }) => {
    const { email, name, role, account_id: accountId } = body;
    const passwordHash = await hasher.hash(body.password);
    return await change(async (changing) => {
      const row = await createUser(changing, { email, name, role, accountId, passwordHash });
      return presentUser(row, actor);
    });
  });

  addRoute(routes, getUser, async ({ actor, params }) => {
    const row = await findUser(db, params.user_id);
    if (row?.account_ids.some((accountId) => sees(actor, accountId))) return presentUser(row, actor);
    throw new HoldfastError('user_not_found', `There is no user ${params.user_id}.`);
  });

  addRoute(routes, updateUserCall, async ({ actor, params, body, version, change }) => {
    const { password, totp_enabled: totpEnabled, ...plain } = body;
    const passwordHash = password === undefined ? undefined : await hasher.hash(password);
    const request = { id: params.user_id, change: { ...plain, totpEnabled, passwordHash }, version };
    return presentUser(await change((changing) => updateUser(changing, request)), actor);
  });

  addRoute(routes, deleteUserCall, async ({ params, version, change }) => {
    return await change((changing) => deleteUser(changing, { id: params.user_id, version }));
  });
}

/** To somebody: who sees a user does not see what other accounts they act for. */
export function presentUser(row: UserRow, viewer: Actor): User {
  const { id, email, name, role, status, version } = row;
  return {
    id,
    email,
    name,
    role,
    status,
    account_ids: row.account_ids.filter((accountId) => sees(viewer, accountId)),
    has_password: row.password_hash !== null,
    totp_enabled: row.totp_confirmed_at !== null,
    last_login_at: row.last_login_at?.toISOString() ?? null,
    version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
