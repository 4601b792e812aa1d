/** Who changed what: a chain of hashes, so that a row that is changed or removed later shows. */
import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { listQuery, pageOf } from './list.ts';
import { idOf, time } from './values.ts';

const tag = 'audit';
const hash = z.string().regex(/^[0-9a-f]{64}$/);

export const auditEvent = z
  .object({
    seq: z.int().min(1),
    at: time,
    account_id: z.string().nullable(),
    actor_kind: z.enum(['user', 'token', 'agent', 'system']),
    actor_id: z.string().nullable(),
    action: z.string().meta({ examples: ['user.created'] }),
    resource: z
      .string()
      .nullable()
      .meta({ examples: ['users/usr_01932b6f3a7c7b1e9f00c2d4e6a81b35'] }),
    details: z.record(z.string(), z.unknown()).describe('Never secrets'),
    prev_hash: hash,
    hash,
  })
  .meta({ id: 'AuditEvent' });
export type AuditEvent = z.infer<typeof auditEvent>;

export const listAuditEvents = endpoint({
  id: 'list_audit_events',
  method: 'GET',
  path: '/audit-events',
  tag,
  summary: 'List audit events',
  description: 'Newest first. Users see those of their own account.',
  access: { scope: 'audit:read' },
  query: z.strictObject({
    ...listQuery,
    account_id: idOf('acc').optional(),
    action: z
      .string()
      .max(100)
      .regex(/^[a-z_.]+$/, 'An action such as user.created.')
      .optional(),
    resource: z
      .string()
      .max(100)
      .regex(/^[a-z_]+\/[A-Za-z0-9_-]+$/, 'A resource such as users/usr_0193.')
      .optional(),
    since: time.optional(),
    until: time.optional(),
  }),
  status: 200,
  answer: pageOf(auditEvent).meta({ id: 'AuditEventPage' }),
  problems: ['account_not_found'],
});

export const verifyAudit = endpoint({
  id: 'verify_audit',
  method: 'POST',
  path: '/audit-events/actions/verify',
  tag,
  summary: 'Check the whole chain',
  description:
    'Keep the head elsewhere now and then: the chain shows that nothing before a head was changed, a known head that nothing after it was cut off.',
  access: { scope: 'audit:read', role: 'admin' },
  status: 200,
  answer: z
    .object({
      intact: z.boolean(),
      events: z.int(),
      head: z.object({ seq: z.int(), hash }).nullable(),
      broken_at: z.int().nullable().describe('seq of the first event that does not follow from the one before'),
    })
    .meta({ id: 'AuditVerification' }),
  problems: [],
});
