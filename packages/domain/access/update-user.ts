import { HoldfastError } from '@holdfast/base';
import { recordChange } from '../audit/record-change.ts';
import type { ActorChanging } from './actor-changing.ts';
import { emailTaken } from './create-user.ts';
import { deleteSessionsOfUser } from './session.store.ts';
import { totpOff } from './totp-enrollment.ts';
import { lockAdministrators, lockUser, updateUserRow, type UserRow } from './user.store.ts';
import { expectVersion } from './version.ts';

export type UserChange = {
  readonly email?: string | undefined;
  readonly name?: string | undefined;
  readonly role?: UserRow['role'] | undefined;
  readonly status?: UserRow['status'] | undefined;
  readonly passwordHash?: string | undefined;
  readonly totpEnabled?: false | undefined;
};

/** @throws user_not_found email_taken last_administrator precondition_failed */
export async function updateUser(
  changing: ActorChanging,
  request: { readonly id: string; readonly change: UserChange; readonly version: number | undefined },
): Promise<UserRow> {
  const { transaction, clock } = changing;
  const { passwordHash, totpEnabled, ...plain } = request.change;
  const administrators = await lockAdministrators(transaction);
  const user = await lockUser(transaction, request.id);
  if (!user) throw new HoldfastError('user_not_found', `There is no user ${request.id}.`);
  expectVersion(user, request.version);
  const fields = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined));
  const secrets = {
    ...(passwordHash !== undefined && { password_hash: passwordHash }),
    ...(totpEnabled === false && totpOff),
  };
  const details = {
    ...fields,
    ...(passwordHash !== undefined && { password: 'changed' }),
    ...(totpEnabled === false && { totp: 'off' }),
  };
  if (Object.keys(details).length === 0) return user;
  if (plain.role === 'user' || plain.status === 'disabled') expectAnotherAdministrator(administrators, user.id);
  const now = new Date(clock.nowMs());
  const updated = updateUserRow(transaction, { id: user.id, change: { ...fields, ...secrets }, now });
  const row = await updated.catch((error: unknown) => {
    throw emailTaken(error, plain.email ?? user.email);
  });
  if (passwordHash !== undefined || row.role !== user.role || row.status !== user.status) {
    await deleteSessionsOfUser(transaction, { userId: user.id });
  }
  await recordChange(changing, {
    action: 'user.updated',
    resource: `users/${user.id}`,
    accountId: user.account_ids[0] ?? null,
    details,
  });
  return row;
}

/** @throws last_administrator */
export function expectAnotherAdministrator(administrators: readonly string[], userId: string): void {
  if (administrators.length > 1 || administrators[0] !== userId) return;
  throw new HoldfastError('last_administrator', 'Nobody else could administrate this server.');
}
