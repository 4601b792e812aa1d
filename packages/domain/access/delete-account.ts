import { HoldfastError } from '@holdfast/base';
import { sqlState } from '@holdfast/database';
import { recordChange } from '../audit/record-change.ts';
import { countMembers, deleteAccountRow, lockAccount } from './account.store.ts';
import type { ActorChanging } from './actor-changing.ts';
import { expectVersion } from './version.ts';

const foreignKeyViolation = '23503';

/** @throws account_not_found dependents_exist precondition_failed */
export async function deleteAccount(
  changing: ActorChanging,
  request: { readonly id: string; readonly version: number | undefined },
): Promise<void> {
  const { transaction } = changing;
  const account = await lockAccount(transaction, request.id);
  if (!account) throw new HoldfastError('account_not_found', `There is no account ${request.id}.`);
  expectVersion(account, request.version);
  const users = await countMembers(transaction, account.id);
  if (users > 0) {
    throw new HoldfastError('dependents_exist', `The account has ${users} ${users === 1 ? 'user' : 'users'}.`, {
      facts: { users },
      remedies: [{ action: 'list_users', href: `/api/v1/users?account_id=${account.id}`, method: 'GET' }],
    });
  }
  const deleted = deleteAccountRow(transaction, account.id);
  await deleted.catch((error: unknown) => {
    if (sqlState(error) !== foreignKeyViolation) throw error;
    throw new HoldfastError('dependents_exist', 'Operations, or other things of the account, are still there.');
  });
  await recordChange(changing, {
    action: 'account.deleted',
    resource: `accounts/${account.id}`,
    accountId: account.id,
    details: { name: account.name },
  });
}
