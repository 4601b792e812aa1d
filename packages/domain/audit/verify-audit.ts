/** Whether the audit is what was written: every event follows from the one before. */
import type { Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { type AuditLink, chainStart, follows } from './audit-chain.ts';
import { readChain } from './audit.store.ts';

export type AuditVerification = {
  /** Events that were looked at. */
  readonly events: number;
  /** The last that follows; undefined of an empty chain. */
  readonly head: AuditLink | undefined;
  /** seq of the first that does not follow; undefined when all do. */
  readonly brokenAt: number | undefined;
};

/** A page is about a MiB. */
const pageEvents = 1000;

export async function verifyAudit(db: Kysely<Schema>): Promise<AuditVerification> {
  let before: AuditLink = chainStart;
  let events = 0;
  for (;;) {
    const page = await readChain(db, { afterSeq: before.seq, limit: pageEvents });
    for (const event of page) {
      events += 1;
      if (!follows(before, event)) return { events, head: headOf(before), brokenAt: event.seq };
      before = event;
    }
    if (page.length < pageEvents) return { events, head: headOf(before), brokenAt: undefined };
  }
}

function headOf({ seq, hash }: AuditLink): AuditLink | undefined {
  return seq === 0 ? undefined : { seq, hash };
}
