/** Server-sent events over one response that does not end by itself. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Event } from '@holdfast/contracts';
import type { EventFeed } from './event-feed.ts';
import type { PublishedEvent } from './outbox.store.ts';

export type StreamRequest = {
  readonly response: ServerResponse;
  readonly feed: EventFeed;
  readonly afterSeq: number;
  readonly isWanted: (event: PublishedEvent) => boolean;
  readonly pingMs: number;
  /** Called before each ping: rejects when whoever follows may do so no longer. */
  readonly stillAllowed: () => Promise<unknown>;
  readonly stopping: AbortSignal;
};

/** Ends when the client goes away, when it is not allowed any more, and when the server stops. */
export async function streamEvents(request: StreamRequest): Promise<void> {
  const { response, feed, afterSeq, isWanted, pingMs, stillAllowed, stopping } = request;
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const signal = AbortSignal.any([ending.signal, stopping]);
  response.once('close', end);
  response.once('error', end);
  const ping = setInterval(() => {
    stillAllowed().then(() => response.write(': ping\n\n'), end);
  }, pingMs);
  try {
    response.write(': here they come\n\n');
    for await (const event of feed.follow({ afterSeq, signal })) {
      if (isWanted(event)) await send(response, frameOf(event), signal);
    }
  } finally {
    clearInterval(ping);
    response.end();
  }
}

/** A client that does not read keeps its own stream back, and nothing in memory. */
async function send(response: ServerResponse, frame: string, signal: AbortSignal): Promise<void> {
  if (response.write(frame) || signal.aborted) return;
  await once(response, 'drain', { signal }).catch(() => undefined);
}

function frameOf({ seq, topic, account_id, created_at, payload }: PublishedEvent): string {
  const data: Event = {
    seq,
    topic,
    at: created_at.toISOString(),
    account_id,
    payload: payload as Event['payload'],
  };
  return `id: ${seq}\nevent: ${topic}\ndata: ${JSON.stringify(data)}\n\n`;
}
