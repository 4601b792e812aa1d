export { type DebianPostgres, startDebianPostgres } from './debian-postgres.ts';
export { type DatabaseServer, startDatabaseServer, type TestDatabase } from './database-server.ts';
