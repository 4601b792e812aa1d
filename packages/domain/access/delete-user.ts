import { HoldfastError } from '@holdfast/base';
import { recordChange } from '../audit/record-change.ts';
import type { ActorChanging } from './actor-changing.ts';
import { expectAnotherAdministrator } from './update-user.ts';
import { deleteUserRow, lockAdministrators, lockUser } from './user.store.ts';
import { expectVersion } from './version.ts';

/** Sessions and API tokens of the user go as well. @throws user_not_found last_administrator precondition_failed */
export async function deleteUser(
  changing: ActorChanging,
  request: { readonly id: string; readonly version: number | undefined },
): Promise<void> {
  const { transaction } = changing;
  const administrators = await lockAdministrators(transaction);
  const user = await lockUser(transaction, request.id);
  if (!user) throw new HoldfastError('user_not_found', `There is no user ${request.id}.`);
  expectVersion(user, request.version);
  expectAnotherAdministrator(administrators, user.id);
  await deleteUserRow(transaction, user.id);
  await recordChange(changing, {
    action: 'user.deleted',
    resource: `users/${user.id}`,
    accountId: user.account_ids[0] ?? null,
    details: { email: user.email },
  });
}
