/**
 * Stopping: requests that run are answered, then every connection is closed. Node by itself closes those that had a request
 * and idle now, but waits a minute and more for those that never had one, which clients open in advance.
 */
import type { FastifyInstance } from 'fastify';

/** How often it looks whether the last request was answered. */
const lookMs = 20;

/** @returns aborted when the server begins to stop: what does not end by itself has to end then */
export function stopGently(app: FastifyInstance): AbortSignal {
  const stopping = new AbortController();
  let running = 0;
  let timer: NodeJS.Timeout | undefined;
  app.addHook('onRequest', async (_request, reply) => {
    running += 1;
    reply.raw.once('close', () => {
      running -= 1;
    });
  });
  app.addHook('onSend', async (_request, reply) => {
    if (stopping.signal.aborted) void reply.header('connection', 'close');
  });
  app.addHook('preClose', async () => {
    stopping.abort();
    timer = setInterval(() => {
      if (running === 0) app.server.closeAllConnections();
    }, lookMs);
  });
  app.addHook('onClose', async () => clearInterval(timer));
  return stopping.signal;
}
