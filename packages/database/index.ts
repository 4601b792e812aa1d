export { sqlState } from './connection/database-errors.ts';
export type { OnNotification } from './connection/listener.ts';
export { type DatabaseClock, openDatabaseClock } from './database-clock.ts';
export { migrate, readSchemaStatus, type SchemaStatus } from './migrations/migrate.ts';
export {
  type Database,
  type DatabaseOptions,
  type DatabasePlace,
  openDatabase,
  runningPlace,
} from './open-database.ts';
export type { Schema } from './schema/schema.ts';
export type { OperationStepTable, OperationTable, TaskTable } from './schema/work.ts';
export { inTransaction } from './transaction.ts';
export { type ExportReport, exportDatabase } from './transfer/export-database.ts';
export { type ImportReport, importDatabase } from './transfer/import-database.ts';
