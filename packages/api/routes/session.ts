import { HoldfastError } from '@holdfast/base';
import {
  changePassword as changePasswordCall,
  confirmTotp as confirmTotpCall,
  disableTotp as disableTotpCall,
  endSession as endSessionCall,
  enrollTotp as enrollTotpCall,
  type Identity,
  listSessions as listSessionsCall,
  logIn as logInCall,
  logOut,
  whoAmI,
} from '@holdfast/contracts';
import {
  type Actor,
  changePassword,
  confirmTotp,
  countSessions,
  disableTotp,
  endSession,
  enrollTotp,
  findAccount,
  findUser,
  listSessions,
  livenessAt,
  logIn,
  type SessionRow,
} from '@holdfast/domain';
import { pageOfRows } from '../http/page.ts';
import { addRoute, type Routes } from '../http/route.ts';
import type { Services } from '../services.ts';
import { presentAccount } from './accounts.ts';
import { presentUser } from './users.ts';

export function addSessionRoutes(routes: Routes): void {
  const { services, cookie } = routes;
  const { clock, hasher, seal, database } = services;
  const { db } = database;

  addRoute(routes, logInCall, async ({ body, request, reply }) => {
    const { secret, expiresAt, actor } = await logIn({
      db,
      clock,
      hasher,
      seal,
      email: body.email,
      password: body.password,
      totpCode: body.totp_code,
      accountId: body.account_id,
      ip: request.ip,
      userAgent: request.headers['user-agent'] ?? null,
    });
    void reply.setCookie(cookie.name, secret, { ...cookie.options, expires: expiresAt });
    return await identityOf(services, actor);
  });

  addRoute(routes, whoAmI, async ({ actor }) => await identityOf(services, actor));

  addRoute(routes, logOut, async ({ actor, reply, change }) => {
    await change((changing) => endSession(changing, sessionOf(actor)));
    void reply.clearCookie(cookie.name, cookie.options);
  });

  addRoute(routes, changePasswordCall, async ({ actor, body }) => {
    const { current_password: currentPassword, new_password: newPassword } = body;
    await changePassword({ db, clock, hasher, actor, currentPassword, newPassword });
  });

  addRoute(routes, enrollTotpCall, async ({ actor }) => await enrollTotp({ db, clock, seal, actor }));

  addRoute(routes, confirmTotpCall, async ({ actor, body }) => {
    await confirmTotp({ db, clock, seal, actor, code: body.code });
  });

  addRoute(routes, disableTotpCall, async ({ actor, body }) => {
    await disableTotp({ db, clock, seal, actor, code: body.code });
  });

  addRoute(routes, listSessionsCall, async ({ actor, query }) => {
    const request = { userId: actor.userId, live: livenessAt(clock) };
    return await pageOfRows(
      {
        query,
        filters: {},
        keyOf: ({ id }: SessionRow) => id,
        list: ({ after, limit }) => listSessions(db, { ...request, afterId: after, limit }),
        count: () => countSessions(db, request),
      },
      (row) => presentSession(row, actor),
    );
  });

  addRoute(routes, endSessionCall, async ({ params, change }) => {
    return await change((changing) => endSession(changing, params.session_id));
  });
}

async function identityOf({ database }: Services, actor: Actor): Promise<Identity> {
  const [user, account] = await Promise.all([
    findUser(database.db, actor.userId),
    findAccount(database.db, actor.accountId),
  ]);
  if (!user || !account) throw new HoldfastError('session_invalid', 'The user or the account is gone.');
  return {
    user: presentUser(user, actor),
    account: presentAccount(account),
    by: actor.by.kind,
    scopes: actor.by.kind === 'token' ? [...actor.by.scopes] : null,
    expires_at: actor.expiresAt?.toISOString() ?? null,
  };
}

/** Endpoints for sessions let nobody else in. */
function sessionOf({ by }: Actor): string {
  if (by.kind === 'session') return by.sessionId;
  throw new HoldfastError('session_required', 'An API token was sent.');
}

function presentSession(row: SessionRow, { by }: Actor) {
  return {
    id: row.id,
    created_at: row.created_at.toISOString(),
    last_used_at: row.last_seen_at.toISOString(),
    expires_at: row.expires_at.toISOString(),
    ip: row.ip_address,
    user_agent: row.user_agent,
    current: by.kind === 'session' && by.sessionId === row.id,
  };
}
