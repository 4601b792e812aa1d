/** An account owns things; users act for it. */
import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { listQuery, pageOf } from './list.ts';
import { idOf, label, locale, rowFields, sizeBytes, timeZone } from './values.ts';

const status = z.enum(['active', 'suspended']);

export const account = z
  .object({
    id: idOf('acc'),
    kind: z.enum(['customer', 'system']),
    name: z.string(),
    timezone: z.string(),
    locale: z.string(),
    status: z.enum(['active', 'suspended', 'closed']),
    inflight_limit: z.int().describe('Operations that users of it may have queued or running at once'),
    quota_bytes: sizeBytes.nullable(),
    ...rowFields,
  })
  .meta({ id: 'Account' });
export type Account = z.infer<typeof account>;

const settings = {
  name: label(200),
  timezone: timeZone,
  locale,
  inflight_limit: z.int().min(0).max(1000),
  quota_bytes: sizeBytes.nullable(),
};
const params = z.strictObject({ account_id: idOf('acc') });
const tag = 'accounts';

export const listAccounts = endpoint({
  id: 'list_accounts',
  method: 'GET',
  path: '/accounts',
  tag,
  summary: 'List accounts',
  description: 'Oldest first. A user sees their own one.',
  access: { scope: 'accounts:read' },
  query: z.strictObject({ ...listQuery, status: status.optional() }),
  status: 200,
  answer: pageOf(account).meta({ id: 'AccountPage' }),
  problems: [],
});

export const createAccount = endpoint({
  id: 'create_account',
  method: 'POST',
  path: '/accounts',
  tag,
  summary: 'Create an account',
  access: { scope: 'accounts:write', role: 'admin' },
  body: z
    .strictObject({
      name: settings.name,
      timezone: settings.timezone.default('UTC'),
      locale: settings.locale.default('en'),
      inflight_limit: settings.inflight_limit.default(3),
      quota_bytes: settings.quota_bytes.default(null),
    })
    .meta({ id: 'NewAccount' }),
  status: 201,
  answer: account,
  etag: true,
  idempotent: true,
  problems: [],
});

export const getAccount = endpoint({
  id: 'get_account',
  method: 'GET',
  path: '/accounts/:account_id',
  tag,
  summary: 'Read an account',
  access: { scope: 'accounts:read' },
  params,
  status: 200,
  answer: account,
  etag: true,
  problems: ['account_not_found'],
});

export const updateAccount = endpoint({
  id: 'update_account',
  method: 'PATCH',
  path: '/accounts/:account_id',
  tag,
  summary: 'Change an account',
  description: 'Users change name, time zone and locale of their own one; the rest is for administrators.',
  access: { scope: 'accounts:write' },
  params,
  body: z.strictObject(settings).extend({ status }).partial().meta({ id: 'AccountChange' }),
  status: 200,
  answer: account,
  etag: true,
  ifMatch: 'optional',
  problems: ['account_not_found'],
});

export const deleteAccount = endpoint({
  id: 'delete_account',
  method: 'DELETE',
  path: '/accounts/:account_id',
  tag,
  summary: 'Delete an account that nobody uses any more',
  access: { scope: 'accounts:write', role: 'admin' },
  params,
  status: 204,
  ifMatch: 'optional',
  problems: ['account_not_found', 'dependents_exist'],
});
