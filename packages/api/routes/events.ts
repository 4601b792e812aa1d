import { HoldfastError } from '@holdfast/base';
import { streamEvents as streamEventsCall } from '@holdfast/contracts';
import { sees } from '@holdfast/domain';
import type { EventFeed } from '../events/event-feed.ts';
import { streamEvents } from '../events/stream-events.ts';
import { topicFilter } from '../events/topics.ts';
import { authenticateRequest } from '../http/authenticate-request.ts';
import { addRoute, type Routes } from '../http/route.ts';
import { expectSeenAccount } from './accounts.ts';

/** Of one user at once: a dozen panels and some scripts. */
const streamsPerUser = 20;

export function addEventRoutes(
  routes: Routes,
  { feed, pingMs }: { readonly feed: EventFeed; readonly pingMs: number },
) {
  const { services, cookie, stopping } = routes;
  const streams = new Map<string, number>();

  addRoute(routes, streamEventsCall, async ({ actor, query, request, reply }) => {
    await expectSeenAccount(services, actor, query.account_id);
    const isTopic = topicFilter(query.topics);
    const afterSeq = lastEventId(request.headers['last-event-id']) ?? query.last_event_id ?? feed.head;
    const { userId } = actor;
    const open = streams.get(userId) ?? 0;
    if (open >= streamsPerUser) {
      const detail = `The user follows ${open} streams already.`;
      throw new HoldfastError('rate_limited', detail, { remedy: 'Close some: one stream can carry all topics.' });
    }
    streams.set(userId, open + 1);
    // Headers that hooks have set, such as those of helmet, belong to this answer too.
    for (const [name, value] of Object.entries(reply.getHeaders()))
      if (value !== undefined) reply.raw.setHeader(name, value);
    reply.hijack();
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // It ends with the client or with the server; either way nothing follows on this connection.
      connection: 'close',
      // nginx would keep events back to fill its buffer.
      'x-accel-buffering': 'no',
    });
    try {
      await streamEvents({
        response: reply.raw,
        feed,
        afterSeq,
        pingMs,
        stopping,
        stillAllowed: () => authenticateRequest(request, { services, cookieName: cookie.name }),
        isWanted: ({ topic, account_id }) => {
          const isSeen = actor.role === 'admin' || (account_id !== null && sees(actor, account_id));
          return isTopic(topic) && isSeen && (query.account_id === undefined || account_id === query.account_id);
        },
      });
    } catch (error) {
      // The answer has begun, so there is nobody to tell but the log; the client comes back by itself.
      request.log.warn({ err: error }, 'an event stream broke off');
    } finally {
      const left = (streams.get(userId) ?? 1) - 1;
      if (left === 0) streams.delete(userId);
      else streams.set(userId, left);
    }
    // Only what answers in the ordinary way has a body to check.
    return undefined as never;
  });
}

/** @throws request_invalid */
function lastEventId(header: string | string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (typeof header === 'string' && /^\d{1,15}$/.test(header)) return Number(header);
  throw new HoldfastError('request_invalid', 'Last-Event-ID is no id of an event.', {
    errors: [{ pointer: '/headers/last-event-id', message: 'The id of an event, such as 42.' }],
  });
}
