/** The tables as kysely sees them: what the migrations up to the last have made. */
import type {
  AccountTable,
  ApiTokenTable,
  LoginAttemptTable,
  MembershipTable,
  SessionTable,
  UserTable,
} from './access.ts';
import type { AuditEventTable, IdempotencyRecordTable, OutboxTable, SettingTable } from './common.ts';
import type {
  CapacityTable,
  CapacityUseTable,
  CooldownTable,
  OperationLogTable,
  OperationStepTable,
  OperationTable,
  ResourceLockTable,
  TaskTable,
} from './work.ts';

export type Schema = {
  readonly account: AccountTable;
  readonly user: UserTable;
  readonly membership: MembershipTable;
  readonly session: SessionTable;
  readonly api_token: ApiTokenTable;
  readonly login_attempt: LoginAttemptTable;
  readonly audit_event: AuditEventTable;
  readonly outbox: OutboxTable;
  readonly idempotency_record: IdempotencyRecordTable;
  readonly setting: SettingTable;
  readonly operation: OperationTable;
  readonly operation_step: OperationStepTable;
  readonly task: TaskTable;
  readonly operation_log: OperationLogTable;
  readonly resource_lock: ResourceLockTable;
  readonly cooldown: CooldownTable;
  readonly capacity: CapacityTable;
  readonly capacity_use: CapacityUseTable;
};
