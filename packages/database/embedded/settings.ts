/** How the embedded PostgreSQL is set: small, on a socket only, and durable. Given at each start; no file is edited. */

const settings: Readonly<Record<string, string>> = {
  listen_addresses: '',
  unix_socket_permissions: '0700',

  // What was committed is on the disk.
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',

  max_connections: '60',
  shared_buffers: '32MB',
  work_mem: '4MB',
  maintenance_work_mem: '32MB',
  max_wal_size: '256MB',
  // Nobody replicates it: HA is a PostgreSQL of one's own.
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_logical_replication_workers: '0',
  // Each of these is a process, or room for one.
  io_method: 'sync',
  max_parallel_workers_per_gather: '0',
  max_parallel_maintenance_workers: '0',
  autovacuum_max_workers: '1',
  autovacuum_worker_slots: '2',
  jit: 'off',
  huge_pages: 'off',

  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  log_line_prefix: '',
  log_checkpoints: 'off',
};

export function settingArguments({ socketDirectory }: { readonly socketDirectory: string }): readonly string[] {
  const all = { ...settings, unix_socket_directories: socketDirectory };
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
