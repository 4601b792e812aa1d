import type { Changing } from '../audit/record-change.ts';
import type { Actor } from './actor.ts';

/** A transaction in which somebody who is known changes something. */
export type ActorChanging = Changing & { readonly actor: Actor };
