/** The tables as kysely sees them: what the migrations up to the last have made. */
import type { AccountTable, ApiTokenTable, MembershipTable, SessionTable, UserTable } from './access.ts';
import type { AuditEventTable, IdempotencyRecordTable, OutboxTable, SettingTable } from './common.ts';

export type Schema = {
  readonly account: AccountTable;
  readonly user: UserTable;
  readonly membership: MembershipTable;
  readonly session: SessionTable;
  readonly api_token: ApiTokenTable;
  readonly audit_event: AuditEventTable;
  readonly outbox: OutboxTable;
  readonly idempotency_record: IdempotencyRecordTable;
  readonly setting: SettingTable;
};
