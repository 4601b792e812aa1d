/** What happens, as it happens: server-sent events. */
import { z } from 'zod';
import { endpoint } from './endpoint.ts';
import { idOf, time } from './values.ts';

/** The data of one event; its `id:` is `seq` and its `event:` the topic. */
export const event = z
  .object({
    seq: z.int().min(1),
    topic: z.string().meta({ examples: ['user.created'] }),
    at: time,
    account_id: z.string().nullable(),
    payload: z.record(z.string(), z.unknown()).describe('Of the topic; resource says what it is about'),
  })
  .meta({ id: 'Event' });
export type Event = z.infer<typeof event>;

export const topicPattern = /^[a-z_]+(\.[a-z_]+|\.\*)?$/;

export const streamEvents = endpoint({
  id: 'stream_events',
  method: 'GET',
  path: '/events',
  tag: 'events',
  summary: 'Follow what happens',
  description:
    'A stream that does not end. Last-Event-ID (or last_event_id) resumes after that event; without it the stream begins now. A comment comes every 15 s. Users get the events of their own account.',
  access: { scope: 'events:read' },
  query: z.strictObject({
    topics: z
      .string()
      .max(1000)
      .refine(
        (text) => text.split(',').every((topic) => topicPattern.test(topic)),
        'Topics such as user.created or user.*, with commas between.',
      )
      .optional()
      .describe('Only these: user.created,account.*'),
    account_id: idOf('acc').optional(),
    last_event_id: z.coerce.number().int().min(0).optional(),
  }),
  status: 200,
  answer: event,
  answers: 'event_stream',
  problems: ['account_not_found'],
});
