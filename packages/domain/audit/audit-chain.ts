/**
 * Audit events form a chain: each has the SHA-256 of itself together with that of the one before, so that a row that is
 * changed, removed or put in between shows at the next one. What is hashed is the event's content as JSON with sorted keys,
 * so that it is the same after the database had it.
 */
import { createHash } from 'node:crypto';

export type AuditContent = {
  /** 1, 2, 3... without a gap. */
  readonly seq: number;
  readonly atMs: number;
  /** Null: of the installation as a whole. */
  readonly accountId: string | null;
  readonly actorKind: 'user' | 'token' | 'agent' | 'system';
  readonly actorId: string | null;
  /** `user.created`. */
  readonly action: string;
  /** `users/usr_...`. */
  readonly resource: string | null;
  /** Never secrets. */
  readonly details: Readonly<Record<string, unknown>>;
};

export type LinkedAuditEvent = AuditContent & { readonly prevHash: string; readonly hash: string };

/** What the first event follows. */
export const chainStart: AuditLink = { seq: 0, hash: '0'.repeat(64) };
export type AuditLink = { readonly seq: number; readonly hash: string };

/** @param before the event that it follows */
export function linkEvent(before: AuditLink, content: Omit<AuditContent, 'seq'>): LinkedAuditEvent {
  const numbered = { ...content, seq: before.seq + 1 };
  return { ...numbered, prevHash: before.hash, hash: hashOf(before.hash, numbered) };
}

/** Whether it is what was linked there, unchanged. */
export function follows(before: AuditLink, event: LinkedAuditEvent): boolean {
  return event.seq === before.seq + 1 && event.prevHash === before.hash && event.hash === hashOf(before.hash, event);
}

function hashOf(prevHash: string, content: AuditContent): string {
  const { seq, atMs, accountId, actorKind, actorId, action, resource, details } = content;
  const text = canonical({ seq, atMs, accountId, actorKind, actorId, action, resource, details });
  return createHash('sha256').update(`${prevHash}\n${text}`).digest('hex');
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`;
}
