/** Whether the server can do its work; for load balancers and supervisors. */
import { z } from 'zod';
import { endpoint } from './endpoint.ts';

export const getHealth = endpoint({
  id: 'get_health',
  method: 'GET',
  path: '/health',
  tag: 'server',
  summary: 'Whether the server and its database work',
  access: 'public',
  status: 200,
  answer: z.object({ status: z.literal('ok'), version: z.string() }).meta({ id: 'Health' }),
  problems: ['database_unreachable'],
});
