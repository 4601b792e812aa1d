/** Every change is written down with it, in its transaction: for the audit, and for whoever watches. */
import { type Clock, newId } from '@holdfast/base';
import type { Schema } from '@holdfast/database';
import { sql, type Transaction } from 'kysely';
import type { Actor } from '../access/actor.ts';
import { type AuditContent, type AuditLink, chainStart, linkEvent } from './audit-chain.ts';

/** A transaction in which an actor changes something; `nobody` has not signed in, `system` is the server itself. */
export type Changing = {
  readonly transaction: Transaction<Schema>;
  readonly clock: Clock;
  readonly actor: Actor | { readonly by: { readonly kind: 'nobody' | 'system' }; readonly ip: string | null };
};

export type Change = {
  /** `user.created`: also the topic of its event. */
  readonly action: string;
  /** `users/usr_...`. */
  readonly resource: string | null;
  /** Who may see it beside administrators. */
  readonly accountId: string | null;
  /** Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
};

/** Of the advisory lock under which the chain grows: "audt", in hex. */
const chainLock = 0x61756474;

/** Whoever publishes events listens on this channel. */
export const outboxChannel = 'outbox';

/** Until the transaction ends nobody else can append, so this comes last in it. */
export async function recordChange({ transaction, clock, actor }: Changing, change: Change): Promise<void> {
  const { action, resource, accountId, details = {} } = change;
  const nowMs = clock.nowMs();
  await sql`select pg_advisory_xact_lock(${chainLock})`.execute(transaction);
  const event = linkEvent(await readHead(transaction), {
    atMs: nowMs,
    accountId,
    ...actorOf(actor),
    action,
    resource,
    details: actor.ip === null ? details : { ...details, ip: actor.ip },
  });
  const row = { created_at: new Date(nowMs), updated_at: new Date(nowMs) };
  await transaction
    .insertInto('audit_event')
    .values({
      ...row,
      id: newId('aud', clock),
      seq: event.seq,
      account_id: accountId,
      actor_kind: event.actorKind,
      actor_id: event.actorId,
      action,
      resource,
      details: JSON.stringify(event.details),
      prev_hash: event.prevHash,
      hash: event.hash,
    })
    .execute();
  await transaction
    .insertInto('outbox')
    .values({
      ...row,
      id: newId('evt', clock),
      seq: null,
      topic: action,
      account_id: accountId,
      payload: JSON.stringify({ resource }),
    })
    .execute();
  await sql`select pg_notify(${outboxChannel}, '')`.execute(transaction);
}

function actorOf(actor: Changing['actor']): Pick<AuditContent, 'actorKind' | 'actorId'> {
  if ('userId' in actor) {
    return actor.by.kind === 'token'
      ? { actorKind: 'token', actorId: actor.by.tokenId }
      : { actorKind: 'user', actorId: actor.userId };
  }
  return { actorKind: actor.by.kind === 'system' ? 'system' : 'user', actorId: null };
}

async function readHead(transaction: Transaction<Schema>): Promise<AuditLink> {
  const head = await transaction
    .selectFrom('audit_event')
    .select(['seq', 'hash'])
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  return head ?? chainStart;
}
