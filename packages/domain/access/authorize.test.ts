import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { type Access, endpoints, scopes } from '@holdfast/contracts';
import fc from 'fast-check';
import { type Actor, sees, sightOf } from './actor.ts';
import { authorize } from './authorize.ts';

const actor = fc.record<Actor>({
  userId: fc.constant('usr_1'),
  accountId: fc.constantFrom('acc_1', 'acc_2'),
  role: fc.constantFrom('admin', 'user'),
  accountStatus: fc.constantFrom('active', 'suspended'),
  by: fc.oneof(
    fc.record({ kind: fc.constant('session' as const), sessionId: fc.constant('ses_1') }),
    fc.record({ kind: fc.constant('token' as const), tokenId: fc.constant('tok_1'), scopes: fc.subarray([...scopes]) }),
  ),
  expiresAt: fc.constant(null),
  ip: fc.constant(null),
});
const access = fc.oneof(
  fc.constantFrom<Exclude<Access, 'public'>>('signed_in', 'session'),
  fc.record({ scope: fc.constantFrom(...scopes) }),
  fc.record({ scope: fc.constantFrom(...scopes), role: fc.constant('admin' as const) }),
);

/** The table of rights, written down once more in another way. */
function mayCall(who: Actor, wanted: Exclude<Access, 'public'>, changes: boolean): boolean {
  const isPerson = who.by.kind === 'session';
  if (typeof wanted === 'string') return wanted === 'signed_in' || isPerson;
  const hasScope = who.by.kind === 'session' || who.by.scopes.includes(wanted.scope);
  const hasRole = who.role === 'admin' || (wanted.role !== 'admin' && !(changes && who.accountStatus === 'suspended'));
  return hasScope && hasRole;
}

test('an actor may call what their role, scopes and account allow, and nothing else', () => {
  fc.assert(
    fc.property(actor, access, fc.boolean(), (who, wanted, changes) => {
      const call = () => authorize(who, { access: wanted, changes });
      if (mayCall(who, wanted, changes)) call();
      else
        assert.throws(call, (error) =>
          hasCode(error, 'session_required', 'scope_missing', 'permission_denied', 'account_suspended'),
        );
    }),
    { numRuns: 1000 },
  );
});

test('a token never may more than its user with a session', () => {
  fc.assert(
    fc.property(actor, access, fc.boolean(), (who, wanted, changes) => {
      const person: Actor = { ...who, by: { kind: 'session', sessionId: 'ses_1' } };
      if (mayCall(who, wanted, changes)) authorize(person, { access: wanted, changes });
    }),
  );
});

test('users see their own account, administrators all', () => {
  fc.assert(
    fc.property(actor, fc.constantFrom('acc_1', 'acc_2'), (who, accountId) => {
      assert.equal(sees(who, accountId), who.role === 'admin' || who.accountId === accountId);
      assert.equal(sightOf(who) === 'everything', who.role === 'admin');
    }),
  );
});

test('what only administrators may change is not open to users', () => {
  const administrators = endpoints.filter(({ access }) => typeof access === 'object' && access.role === 'admin');
  assert.deepEqual(administrators.map(({ id }) => id).toSorted(), [
    'create_account',
    'create_user',
    'delete_account',
    'delete_user',
    'update_user',
    'verify_audit',
  ]);
});
