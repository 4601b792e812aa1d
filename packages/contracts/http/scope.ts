/** What an API token may do. The role of its user says on whose things: an administrator's on all, a user's on their own. */
import { z } from 'zod';

export const scopes = [
  'accounts:read',
  'accounts:write',
  'users:read',
  'users:write',
  'tokens:read',
  'tokens:write',
  'audit:read',
  'events:read',
] as const;
export type Scope = (typeof scopes)[number];

export const scope = z.enum(scopes).meta({ id: 'Scope' });

export const role = z.enum(['admin', 'user']).meta({ id: 'Role' });
export type Role = z.infer<typeof role>;
