/** What all parts share: the audit chain, events for watchers, answers to be repeated, settings. */
import type { ColumnType } from 'kysely';
import type { EntityRow } from './row.ts';

/** A JSON document: written as its text, read as the value. */
type Json = ColumnType<unknown, string, string>;

/** `aud_`. Never changed: each row's hash covers the row and the hash before it. */
export type AuditEventTable = EntityRow & {
  /** 1, 2, 3... without a gap; given under a lock by whoever appends. */
  readonly seq: number;
  /** Null: of the installation as a whole. */
  readonly account_id: string | null;
  readonly actor_kind: 'user' | 'token' | 'agent' | 'system';
  readonly actor_id: string | null;
  /** `volume.take_snapshot`. */
  readonly action: string;
  readonly resource: string | null;
  readonly details: Json;
  /** SHA-256, hex; 64 zeros before the first. */
  readonly prev_hash: string;
  readonly hash: string;
};

/**
 * `evt_`: written in the transaction of the change it tells of. `seq` is null until a publisher gives it, one at a time and
 * after the commit, so that a reader who has seen 7 never misses a 6 that commits later.
 */
export type OutboxTable = EntityRow & {
  readonly seq: number | null;
  readonly topic: string;
  readonly account_id: string | null;
  readonly payload: Json;
};

/** Key: account and key. The answer is null while the first call is at work. */
export type IdempotencyRecordTable = Omit<EntityRow, 'id'> & {
  readonly account_id: string;
  readonly key: string;
  /** SHA-256 of the request, hex. */
  readonly request_hash: string;
  readonly response_status: number | null;
  readonly response: ColumnType<unknown, string | null, string | null>;
  readonly expires_at: Date;
};

/** Key: name. */
export type SettingTable = Omit<EntityRow, 'id'> & {
  readonly name: string;
  readonly value: Json;
};
