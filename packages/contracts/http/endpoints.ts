/** Every call there is, in the order of the document. A new resource adds its file here. */
import * as accounts from './account.ts';
import * as tokens from './api-token.ts';
import * as audit from './audit-event.ts';
import type { EndpointSpecification } from './endpoint.ts';
import * as events from './event.ts';
import * as health from './health.ts';
import * as sessions from './session.ts';
import * as users from './user.ts';

export const endpoints: readonly EndpointSpecification[] = [
  health.getHealth,
  sessions.logIn,
  sessions.whoAmI,
  sessions.logOut,
  sessions.changePassword,
  sessions.enrollTotp,
  sessions.confirmTotp,
  sessions.disableTotp,
  sessions.listSessions,
  sessions.endSession,
  accounts.listAccounts,
  accounts.createAccount,
  accounts.getAccount,
  accounts.updateAccount,
  accounts.deleteAccount,
  users.listUsers,
  users.createUser,
  users.getUser,
  users.updateUser,
  users.deleteUser,
  tokens.listTokens,
  tokens.createToken,
  tokens.getToken,
  tokens.revokeToken,
  audit.listAuditEvents,
  audit.verifyAudit,
  events.streamEvents,
];
