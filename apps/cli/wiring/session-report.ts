/** Sessions as commands show them. */
import type { Holder } from '@holdfast/engine/care';
import { formatLocalTime } from '../terminal/format.ts';

export function sessionFields({ id, role, resource, started_at: startedAt, process, liveness }: Holder): object {
  const { host, pid } = process;
  return { session: id, role, resource, started_at: startedAt, host, pid, liveness };
}

/** "ses_..., writer of volumes/a, process 7 on host: alive, since 2026-11-21 09:55:00" */
export function holderLine({ id, role, resource, started_at: startedAt, process, liveness }: Holder): string {
  const of = resource === null ? '' : ` of ${resource}`;
  const { host, pid } = process;
  return `${id}, ${role}${of}, process ${pid} on ${host}: ${liveness}, since ${formatLocalTime(startedAt)}`;
}
