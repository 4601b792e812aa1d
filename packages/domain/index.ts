export {
  type AccountRow,
  countAccounts,
  findAccount,
  listAccounts,
} from './access/account.store.ts';
export { type Actor, sees, type Sight, sightOf } from './access/actor.ts';
export type { ActorChanging } from './access/actor-changing.ts';
export { type ApiTokenRow, countTokens, findToken, listTokens } from './access/api-token.store.ts';
export { actorOfSession, actorOfToken } from './access/authenticate.ts';
export { authorize } from './access/authorize.ts';
export { type Bootstrapped, bootstrapAdministrator } from './access/bootstrap-administrator.ts';
export { changePassword } from './access/change-password.ts';
export { createAccount } from './access/create-account.ts';
export { createToken } from './access/create-token.ts';
export { createUser } from './access/create-user.ts';
export { deleteAccount } from './access/delete-account.ts';
export { deleteUser } from './access/delete-user.ts';
export { endSession } from './access/end-session.ts';
export { logIn } from './access/log-in.ts';
export { PasswordHasher } from './access/password.ts';
export { resetPassword } from './access/reset-password.ts';
export { revokeToken, tokensSeenBy } from './access/revoke-token.ts';
export { Seal, serverKeyBytes } from './access/sealed.ts';
export { countSessions, listSessions, type SessionRow } from './access/session.store.ts';
export { livenessAt } from './access/sessions.ts';
export { confirmTotp, disableTotp, enrollTotp } from './access/totp-enrollment.ts';
export { updateAccount } from './access/update-account.ts';
export { updateUser } from './access/update-user.ts';
export { countUsers, findUser, listUsers, type UserRow } from './access/user.store.ts';
export { countAuditEvents, listAuditEvents } from './audit/audit.store.ts';
export type { LinkedAuditEvent } from './audit/audit-chain.ts';
export { outboxChannel } from './audit/record-change.ts';
export { verifyAudit } from './audit/verify-audit.ts';
