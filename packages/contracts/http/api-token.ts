/** Credentials for programs. */
import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { listQuery, pageOf } from './list.ts';
import { scope } from './scope.ts';
import { idOf, label, rowFields, time } from './values.ts';

const tag = 'api tokens';

export const apiToken = z
  .object({
    id: idOf('tok'),
    user_id: idOf('usr'),
    account_id: idOf('acc'),
    name: z.string(),
    hint: z.string().describe('How the token begins, to tell tokens apart'),
    scopes: z.array(scope),
    expires_at: time.nullable(),
    last_used_at: time.nullable(),
    ...rowFields,
  })
  .meta({ id: 'ApiToken' });
export type ApiToken = z.infer<typeof apiToken>;

const params = z.strictObject({ token_id: idOf('tok') });

export const listTokens = endpoint({
  id: 'list_tokens',
  method: 'GET',
  path: '/api-tokens',
  tag,
  summary: 'List API tokens',
  description: 'Oldest first. Users see their own ones, administrators all.',
  access: { scope: 'tokens:read' },
  query: z.strictObject({ ...listQuery, account_id: idOf('acc').optional(), user_id: idOf('usr').optional() }),
  status: 200,
  answer: pageOf(apiToken).meta({ id: 'ApiTokenPage' }),
  problems: ['account_not_found', 'user_not_found'],
});

export const createToken = endpoint({
  id: 'create_token',
  method: 'POST',
  path: '/api-tokens',
  tag,
  summary: 'Make an API token',
  description:
    'The token is in this answer and nowhere else. One that is made with a token has no scope and no later end than that one.',
  access: { scope: 'tokens:write' },
  body: z
    .strictObject({
      name: label(200),
      scopes: z.array(scope).min(1).max(100),
      expires_at: time.nullable().default(null),
    })
    .meta({ id: 'NewApiToken' }),
  status: 201,
  answer: apiToken.extend({ token: z.string() }).meta({ id: 'CreatedApiToken' }),
  etag: true,
  idempotent: true,
  problems: [],
});

export const getToken = endpoint({
  id: 'get_token',
  method: 'GET',
  path: '/api-tokens/:token_id',
  tag,
  summary: 'Read what is known of an API token',
  access: { scope: 'tokens:read' },
  params,
  status: 200,
  answer: apiToken,
  etag: true,
  problems: ['token_not_found'],
});

export const revokeToken = endpoint({
  id: 'revoke_token',
  method: 'DELETE',
  path: '/api-tokens/:token_id',
  tag,
  summary: 'Revoke an API token',
  access: { scope: 'tokens:write' },
  params,
  status: 204,
  ifMatch: 'optional',
  problems: ['token_not_found'],
});
