import {
  type AuditEvent,
  listAuditEvents as listAuditEventsCall,
  verifyAudit as verifyAuditCall,
} from '@holdfast/contracts';
import { countAuditEvents, type LinkedAuditEvent, listAuditEvents, sightOf, verifyAudit } from '@holdfast/domain';
import { pageOfRows } from '../http/page.ts';
import { addRoute, type Routes } from '../http/route.ts';
import { expectSeenAccount } from './accounts.ts';

export function addAuditEventRoutes(routes: Routes): void {
  const { services } = routes;
  const { db } = services.database;

  addRoute(routes, listAuditEventsCall, async ({ actor, query }) => {
    const { account_id: accountId, action, resource, since, until } = query;
    // An account that is gone has left its events: administrators look for them.
    if (actor.role !== 'admin') await expectSeenAccount(services, actor, accountId);
    const filter = { accountId, action, resource, since: dateOf(since), until: dateOf(until) };
    const request = { sight: sightOf(actor), filter };
    return await pageOfRows(
      {
        query,
        filters: { accountId, action, resource, since, until },
        keyOf: ({ seq }: LinkedAuditEvent) => seq,
        list: ({ after, limit }) => listAuditEvents(db, { ...request, beforeSeq: after, limit }),
        count: () => countAuditEvents(db, request),
      },
      presentAuditEvent,
    );
  });

  addRoute(routes, verifyAuditCall, async () => {
    const { events, head, brokenAt } = await verifyAudit(db);
    return { intact: brokenAt === undefined, events, head: head ?? null, broken_at: brokenAt ?? null };
  });
}

function dateOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}

function presentAuditEvent(event: LinkedAuditEvent): AuditEvent {
  return {
    seq: event.seq,
    at: new Date(event.atMs).toISOString(),
    account_id: event.accountId,
    actor_kind: event.actorKind,
    actor_id: event.actorId,
    action: event.action,
    resource: event.resource,
    details: { ...event.details },
    prev_hash: event.prevHash,
    hash: event.hash,
  };
}
