import { HoldfastError } from '@holdfast/base';
import { recordChange } from '../audit/record-change.ts';
import { type AccountRow, lockAccount, updateAccountRow } from './account.store.ts';
import { sees } from './actor.ts';
import type { ActorChanging } from './actor-changing.ts';
import type { NewAccount } from './create-account.ts';
import { expectVersion } from './version.ts';

export type AccountChange = { readonly [Field in keyof NewAccount]?: NewAccount[Field] | undefined } & {
  readonly status?: 'active' | 'suspended' | undefined;
};

/** What users may set of their own account; limits and standing are for administrators. */
const ownFields: readonly string[] = ['name', 'timezone', 'locale'] satisfies (keyof AccountChange)[];

/** @throws account_not_found permission_denied precondition_failed */
export async function updateAccount(
  changing: ActorChanging,
  request: { readonly id: string; readonly change: AccountChange; readonly version: number | undefined },
): Promise<AccountRow> {
  const { transaction, clock, actor } = changing;
  const change = Object.fromEntries(Object.entries(request.change).filter(([, value]) => value !== undefined));
  const account = sees(actor, request.id) ? await lockAccount(transaction, request.id) : undefined;
  if (!account) throw new HoldfastError('account_not_found', `There is no account ${request.id}.`);
  const denied = Object.keys(change).filter((field) => !ownFields.includes(field));
  if (denied.length > 0 && actor.role !== 'admin') {
    throw new HoldfastError('permission_denied', `Only administrators may change ${denied.join(' and ')}.`);
  }
  expectVersion(account, request.version);
  if (Object.keys(change).length === 0) return account;
  const row = await updateAccountRow(transaction, { id: account.id, change, now: new Date(clock.nowMs()) });
  await recordChange(changing, {
    action: 'account.updated',
    resource: `accounts/${account.id}`,
    accountId: account.id,
    details: change,
  });
  return row;
}
