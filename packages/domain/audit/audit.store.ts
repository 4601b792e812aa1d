/** Reading the audit. Writing is `recordChange`. */
import type { Schema } from '@holdfast/database';
import type { Kysely, Selectable } from 'kysely';
import type { Sight } from '../access/actor.ts';
import type { LinkedAuditEvent } from './audit-chain.ts';

export type AuditFilter = {
  readonly accountId?: string | undefined;
  readonly action?: string | undefined;
  readonly resource?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
};

/** Newest first, from before `beforeSeq`. */
export async function listAuditEvents(
  db: Kysely<Schema>,
  request: {
    readonly sight: Sight;
    readonly filter: AuditFilter;
    readonly beforeSeq?: number | undefined;
    readonly limit: number;
  },
): Promise<readonly LinkedAuditEvent[]> {
  const { beforeSeq, limit } = request;
  const rows = await filtered(db, request)
    .selectAll()
    .$if(beforeSeq !== undefined, (query) => query.where('seq', '<', beforeSeq!))
    .orderBy('seq', 'desc')
    .limit(limit)
    .execute();
  return rows.map(eventOf);
}

export async function countAuditEvents(
  db: Kysely<Schema>,
  request: { readonly sight: Sight; readonly filter: AuditFilter },
): Promise<number> {
  const { count } = await filtered(db, request)
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  return count;
}

/** The next of the chain, oldest first. */
export async function readChain(
  db: Kysely<Schema>,
  request: { readonly afterSeq: number; readonly limit: number },
): Promise<readonly LinkedAuditEvent[]> {
  const rows = await db
    .selectFrom('audit_event')
    .selectAll()
    .where('seq', '>', request.afterSeq)
    .orderBy('seq')
    .limit(request.limit)
    .execute();
  return rows.map(eventOf);
}

function filtered(db: Kysely<Schema>, { sight, filter }: { readonly sight: Sight; readonly filter: AuditFilter }) {
  const { accountId, action, resource, since, until } = filter;
  return db
    .selectFrom('audit_event')
    .$if(sight !== 'everything', (query) => query.where('account_id', '=', (sight as { accountId: string }).accountId))
    .$if(accountId !== undefined, (query) => query.where('account_id', '=', accountId!))
    .$if(action !== undefined, (query) => query.where('action', '=', action!))
    .$if(resource !== undefined, (query) => query.where('resource', '=', resource!))
    .$if(since !== undefined, (query) => query.where('created_at', '>=', since!))
    .$if(until !== undefined, (query) => query.where('created_at', '<', until!));
}

function eventOf(row: Selectable<Schema['audit_event']>): LinkedAuditEvent {
  return {
    seq: row.seq,
    atMs: row.created_at.getTime(),
    accountId: row.account_id,
    actorKind: row.actor_kind,
    actorId: row.actor_id,
    action: row.action,
    resource: row.resource,
    details: row.details as LinkedAuditEvent['details'],
    prevHash: row.prev_hash,
    hash: row.hash,
  };
}
