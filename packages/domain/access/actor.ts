/** Who does something: every use case takes one, and every row that it touches is seen through it. */
import type { Role, Scope } from '@holdfast/contracts';

export type Actor = {
  readonly userId: string;
  readonly role: Role;
  /** The account that the actor acts for. */
  readonly accountId: string;
  readonly accountStatus: 'active' | 'suspended';
  readonly by:
    | { readonly kind: 'session'; readonly sessionId: string }
    | { readonly kind: 'token'; readonly tokenId: string; readonly scopes: readonly Scope[] };
  /** When the session or token ends by itself. */
  readonly expiresAt: Date | null;
  /** Where the request came from. */
  readonly ip: string | null;
};

/** Whose rows the actor sees: one account's, or everybody's. */
export type Sight = { readonly accountId: string } | 'everything';

export function sightOf(actor: Actor): Sight {
  return actor.role === 'admin' ? 'everything' : { accountId: actor.accountId };
}

export function sees(actor: Actor, accountId: string): boolean {
  const sight = sightOf(actor);
  return sight === 'everything' || sight.accountId === accountId;
}
