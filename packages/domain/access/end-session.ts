/** Signing out, here or on another device. */
import { HoldfastError } from '@holdfast/base';
import { recordChange } from '../audit/record-change.ts';
import type { ActorChanging } from './actor-changing.ts';
import { deleteSession } from './session.store.ts';

/** @throws session_not_found when the actor has no such session */
export async function endSession(changing: ActorChanging, id: string): Promise<void> {
  const { transaction, actor } = changing;
  if (!(await deleteSession(transaction, { id, userId: actor.userId }))) {
    throw new HoldfastError('session_not_found', `You have no session ${id}.`);
  }
  await recordChange(changing, {
    action: 'session.ended',
    resource: `users/${actor.userId}`,
    accountId: actor.accountId,
    details: { session: id },
  });
}
