/** A person who signs in. */
import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { listQuery, pageOf } from './list.ts';
import { role } from './scope.ts';
import { idOf, label, rowFields, time } from './values.ts';

const status = z.enum(['active', 'disabled']);

/** Kept in lower case, so that it is one address however it is typed. */
export const email = z.string().trim().toLowerCase().max(254).pipe(z.email('An email address.'));

/** Length is what counts (NIST SP 800-63B); 256 characters bound the work of hashing. */
export const newPassword = z.string().min(12, 'At least 12 characters.').max(256, 'At most 256 characters.');

export const user = z
  .object({
    id: idOf('usr'),
    email: z.string(),
    name: z.string(),
    role,
    status,
    account_ids: z.array(z.string()).describe('Accounts that the user acts for'),
    has_password: z.boolean(),
    totp_enabled: z.boolean(),
    last_login_at: time.nullable(),
    ...rowFields,
  })
  .meta({ id: 'User' });
export type User = z.infer<typeof user>;

const params = z.strictObject({ user_id: idOf('usr') });
const tag = 'users';

export const listUsers = endpoint({
  id: 'list_users',
  method: 'GET',
  path: '/users',
  tag,
  summary: 'List users',
  description: 'Oldest first. A user sees those of their own account.',
  access: { scope: 'users:read' },
  query: z.strictObject({
    ...listQuery,
    account_id: idOf('acc').optional(),
    role: role.optional(),
    status: status.optional(),
    email: email.optional(),
  }),
  status: 200,
  answer: pageOf(user).meta({ id: 'UserPage' }),
  problems: ['account_not_found'],
});

export const createUser = endpoint({
  id: 'create_user',
  method: 'POST',
  path: '/users',
  tag,
  summary: 'Create a user',
  access: { scope: 'users:write', role: 'admin' },
  body: z
    .strictObject({
      email,
      name: label(200),
      password: newPassword,
      role: role.default('user'),
      account_id: idOf('acc'),
    })
    .meta({ id: 'NewUser' }),
  status: 201,
  answer: user,
  etag: true,
  idempotent: true,
  problems: ['account_not_found', 'email_taken'],
});

export const getUser = endpoint({
  id: 'get_user',
  method: 'GET',
  path: '/users/:user_id',
  tag,
  summary: 'Read a user',
  access: { scope: 'users:read' },
  params,
  status: 200,
  answer: user,
  etag: true,
  problems: ['user_not_found'],
});

export const updateUser = endpoint({
  id: 'update_user',
  method: 'PATCH',
  path: '/users/:user_id',
  tag,
  summary: 'Change a user',
  description:
    'A new password, another role and disabling end the sessions of the user. totp_enabled: false turns the code off for somebody who lost the device.',
  access: { scope: 'users:write', role: 'admin' },
  params,
  body: z
    .strictObject({ email, name: label(200), role, status, password: newPassword, totp_enabled: z.literal(false) })
    .partial()
    .meta({ id: 'UserChange' }),
  status: 200,
  answer: user,
  etag: true,
  ifMatch: 'optional',
  problems: ['user_not_found', 'email_taken', 'last_administrator'],
});

export const deleteUser = endpoint({
  id: 'delete_user',
  method: 'DELETE',
  path: '/users/:user_id',
  tag,
  summary: 'Delete a user, with their sessions and API tokens',
  access: { scope: 'users:write', role: 'admin' },
  params,
  status: 204,
  ifMatch: 'optional',
  problems: ['user_not_found', 'last_administrator'],
});
