/**
 * What an actor may call. Whose things they may touch is decided by `sightOf`, row by row: this is about calls, and comes
 * first.
 */
import { HoldfastError } from '@holdfast/base';
import type { Access } from '@holdfast/contracts';
import type { Actor } from './actor.ts';

/** A call as the rule sees it. */
export type Call = {
  readonly access: Exclude<Access, 'public'>;
  /** Whether it changes anything: a suspended account may only look. */
  readonly changes: boolean;
};

/** @throws session_required, scope_missing, permission_denied, account_suspended; the first that applies, in this order */
export function authorize(actor: Actor, { access, changes }: Call): void {
  if (access === 'signed_in') return;
  if (access === 'session') {
    if (actor.by.kind === 'session') return;
    throw new HoldfastError('session_required', 'An API token was sent.');
  }
  const { scope, role } = access;
  if (actor.by.kind === 'token' && !actor.by.scopes.includes(scope)) {
    throw new HoldfastError('scope_missing', `The API token lacks the scope ${scope}.`, { facts: { scope } });
  }
  if (actor.role === 'admin') return;
  if (role === 'admin') throw new HoldfastError('permission_denied', 'Only administrators may do this.');
  if (changes && actor.accountStatus === 'suspended') {
    throw new HoldfastError('account_suspended', 'The account is suspended, so nothing of it can be changed.');
  }
}
