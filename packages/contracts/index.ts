export { type Account, createAccount, deleteAccount, getAccount, listAccounts, updateAccount } from './http/account.ts';
export { type ApiToken, createToken, getToken, listTokens, revokeToken } from './http/api-token.ts';
export { type AuditEvent, listAuditEvents, verifyAudit } from './http/audit-event.ts';
export {
  type Access,
  type Answer,
  apiRoot,
  type EndpointSpecification,
  endpoint,
  type Received,
  type Sent,
} from './http/endpoint.ts';
export { endpoints } from './http/endpoints.ts';
export { type Event, event, streamEvents } from './http/event.ts';
export { getHealth } from './http/health.ts';
export { listQuery, maxPageItems, pageOf } from './http/list.ts';
export { type Operation, operation } from './http/operation.ts';
export { type ApiProblem, problem, problemMediaType } from './http/problem.ts';
export { type Role, role, type Scope, scope, scopes } from './http/scope.ts';
export {
  changePassword,
  confirmTotp,
  disableTotp,
  endSession,
  enrollTotp,
  type Identity,
  listSessions,
  logIn,
  logOut,
  whoAmI,
} from './http/session.ts';
export { type Tag, tags } from './http/tags.ts';
export { createUser, deleteUser, email, getUser, listUsers, newPassword, type User, updateUser } from './http/user.ts';
