/** Every step there is, in order. */
import { access } from './0001-access.ts';
import { work } from './0002-work.ts';
import { signIn } from './0003-sign-in.ts';
import type { Migration } from './migration.ts';

export const migrations: readonly Migration[] = [access, work, signIn];
