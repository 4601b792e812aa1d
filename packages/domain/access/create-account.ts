import { newId } from '@holdfast/base';
import { recordChange } from '../audit/record-change.ts';
import { type AccountRow, insertAccount } from './account.store.ts';
import type { ActorChanging } from './actor-changing.ts';

export type NewAccount = Pick<AccountRow, 'name' | 'timezone' | 'locale' | 'inflight_limit' | 'quota_bytes'>;

/** An account of a customer, without users yet. */
export async function createAccount(changing: ActorChanging, account: NewAccount): Promise<AccountRow> {
  const { transaction, clock } = changing;
  const now = new Date(clock.nowMs());
  const row = await insertAccount(transaction, {
    ...account,
    id: newId('acc', clock),
    kind: 'customer',
    created_at: now,
    updated_at: now,
  });
  await recordChange(changing, {
    action: 'account.created',
    resource: `accounts/${row.id}`,
    accountId: row.id,
    details: { ...account },
  });
  return row;
}
