/** Work that takes time: what was asked (operation), in which steps, who does it now (task), and what it keeps others from. */
import type { ColumnType, Generated } from 'kysely';
import type { EntityRow } from './row.ts';

/** Without the rest of an entity: its key is something else than an id. */
type KeyedRow = Omit<EntityRow, 'id'>;

type Json = ColumnType<unknown, string, string>;
type NullableJson = ColumnType<unknown, string | null, string | null>;

export type OperationState = 'queued' | 'running' | 'canceling' | 'stalled' | 'succeeded' | 'failed' | 'canceled';

/** `op_`. Everything about it, its steps and its task changes only under the lock of this row. */
export type OperationTable = EntityRow & {
  /** `snapshot`, `backup`: the word that messages name it by. */
  readonly type: string;
  readonly state: OperationState;
  /** Null: of the installation itself. */
  readonly account_id: string | null;
  /** Who asked; null for the scheduler. */
  readonly started_by: string | null;
  /** Whether it counts against the account's limit of operations in flight. */
  readonly is_counted: boolean;
  /** What it is about, for people and filters. */
  readonly resources: readonly string[];
  readonly cancel_requested: Generated<boolean>;
  /** Grows with each claim and each fence: what was handed out before may write nothing any more. */
  readonly epoch: Generated<number>;
  readonly phase: string | null;
  readonly bytes_done: number | null;
  readonly bytes_total: number | null;
  /** A Problem. */
  readonly error: NullableJson;
  readonly result: NullableJson;
  /** Which resources rest afterwards. */
  readonly cooldown_resources: Generated<readonly string[]>;
  readonly cooldown_success_ms: Generated<number>;
  /** After failure and cancel. */
  readonly cooldown_failure_ms: Generated<number>;
  readonly started_at: Date | null;
  readonly heartbeat_at: Date | null;
  /** When phase or bytes last changed. */
  readonly progress_at: Date | null;
  readonly stalled_at: Date | null;
  readonly finished_at: Date | null;
};

/** `step_`. Done one after another, each by whoever serves its queue. */
export type OperationStepTable = EntityRow & {
  readonly operation_id: string;
  /** 1, 2, 3... */
  readonly position: number;
  readonly kind: string;
  /** Whose work it is: `agent/hyp_...`, `keeper/...`, `server`. */
  readonly queue: string;
  /** `host/hyp_...`, `storage/sto_...`, `account/acc_...`: what it takes a slot of while it runs. */
  readonly capacity_keys: readonly string[];
  readonly payload: Json;
  readonly state: 'waiting' | 'active' | 'succeeded' | 'failed' | 'canceled';
  readonly result: NullableJson;
};

/** `task_`: the lease of one step. */
export type TaskTable = EntityRow & {
  readonly operation_id: string;
  readonly step_id: string;
  readonly queue: string;
  readonly capacity_keys: readonly string[];
  /** Higher goes first. */
  readonly priority: Generated<number>;
  readonly state: 'queued' | 'running' | 'succeeded' | 'failed' | 'canceled';
  /** The operation's when it was claimed; 0 before. */
  readonly epoch: Generated<number>;
  /** The session of the worker. */
  readonly holder: string | null;
  readonly claimed_at: Date | null;
  readonly finished_at: Date | null;
};

/** `log_`. */
export type OperationLogTable = EntityRow & {
  readonly operation_id: string;
  /** 1, 2, 3...: ids of one moment have no order. */
  readonly position: number;
  readonly level: 'info' | 'warning' | 'error';
  readonly message: string;
};

/** Key: resource and operation. One exclusive lock, or any number of readers. */
export type ResourceLockTable = KeyedRow & {
  readonly resource: string;
  readonly operation_id: string;
  readonly mode: 'exclusive' | 'read';
  /** The operation's. */
  readonly epoch: number;
};

/** Key: resource. */
export type CooldownTable = KeyedRow & {
  readonly resource: string;
  readonly until: Date;
  /** The operation it follows. */
  readonly cause: string;
};

/** Key: `key`. How many tasks may run at once; without a row, any number. */
export type CapacityTable = KeyedRow & {
  readonly key: string;
  readonly slots: number;
};

/** Key: `key` and task. A row for each slot that a running task takes. */
export type CapacityUseTable = KeyedRow & {
  readonly key: string;
  readonly task_id: string;
};
