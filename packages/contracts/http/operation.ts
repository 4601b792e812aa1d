/** Work that takes time: a POST that starts some answers 202 with this and a Location. */
import { z } from 'zod';
import { problem } from './problem.ts';
import { idOf, sizeBytes, time } from './values.ts';

export const operation = z
  .object({
    id: idOf('op'),
    type: z.string(),
    state: z.enum(['queued', 'running', 'canceling', 'stalled', 'succeeded', 'failed', 'canceled']),
    phase: z.string().nullable(),
    percent: z.number().min(0).max(100).nullable(),
    bytes_done: sizeBytes,
    bytes_total: sizeBytes.nullable(),
    rate_bps: z.int().min(0).nullable().describe('Bytes a second'),
    eta_s: z.int().min(0).nullable(),
    resources: z.array(z.object({ kind: z.string(), id: z.string() })),
    warnings: z.array(z.string()),
    error: problem.nullable(),
    result: z.record(z.string(), z.unknown()).nullable(),
    created_at: time,
    started_at: time.nullable(),
    heartbeat_at: time.nullable(),
    finished_at: time.nullable(),
  })
  .meta({ id: 'Operation' });
export type Operation = z.infer<typeof operation>;
