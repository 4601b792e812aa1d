/** The HTTP server with all its routes; it listens when the program says so. */
import fastifyCookie from '@fastify/cookie';
import fastifyHelmet from '@fastify/helmet';
import fastifyRateLimit from '@fastify/rate-limit';
import { HoldfastError, newId } from '@holdfast/base';
import { problemMediaType } from '@holdfast/contracts';
import fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import type { Socket } from 'node:net';
import { EventFeed } from './events/event-feed.ts';
import { errorOfRequest, problemOf } from './http/request-problem.ts';
import type { Routes } from './http/route.ts';
import { sessionCookie } from './http/session-cookie.ts';
import { stopGently } from './http/stop-gently.ts';
import { openApiDocument } from './openapi/document.ts';
import { addAccountRoutes } from './routes/accounts.ts';
import { addApiTokenRoutes } from './routes/api-tokens.ts';
import { addAuditEventRoutes } from './routes/audit-events.ts';
import { addEventRoutes } from './routes/events.ts';
import { addHealthRoutes } from './routes/health.ts';
import { addSessionRoutes } from './routes/session.ts';
import { addUserRoutes } from './routes/users.ts';
import type { Services } from './services.ts';

export type ApiOptions = {
  readonly services: Services;
  /** PEM; undefined serves plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined;
  /** Whether browsers reach it by HTTPS: by itself, or through a proxy. */
  readonly isSecure: boolean;
  /** Whether browsers may be told to come by HTTPS only from now on: not with a certificate that they do not know. */
  readonly isCertificateKnown: boolean;
  /** Addresses of proxies whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  /** Of one client address. */
  readonly requestsPerMinute: number;
  readonly log: FastifyBaseLogger;
  /** Between two comments on an event stream. */
  readonly pingMs?: number;
};

/** What listens, once it is told to, and closes. */
export type Api = FastifyInstance;

/** Bytes of a body. */
const bodyLimit = 1024 * 1024;
/** A client that sends its request more slowly is cut off: it would hold a connection for nothing. */
const requestTimeoutMs = 30_000;
/** Longer than the minute for which proxies keep theirs. */
const keepAliveTimeoutMs = 72_000;

/** Closing the instance ends streams and lets requests finish. @throws database_unreachable */
export async function buildApi(options: ApiOptions): Promise<FastifyInstance> {
  const { services, isSecure, log, pingMs = 15_000 } = options;
  const app = createApp(options);
  app.removeContentTypeParser('text/plain');
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply));
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split('?')[0];
    await sendProblem(new HoldfastError('route_not_found', `There is no ${request.method} ${path}.`), request, reply);
  });
  app.decorateRequest('actor', undefined);
  const stopping = stopGently(app);
  await app.register(fastifyHelmet, { hsts: isSecure && options.isCertificateKnown });
  await app.register(fastifyCookie);
  await app.register(fastifyRateLimit, {
    global: false,
    max: options.requestsPerMinute,
    timeWindow: 60_000,
    errorResponseBuilder: (_request, { ttl }) => {
      const retryAfterS = Math.ceil(ttl / 1000);
      return new HoldfastError('rate_limited', `Try again in ${retryAfterS} seconds.`, { retryAfterS });
    },
  });
  // Before who is asking is looked up, which costs a query.
  app.addHook('onRequest', app.rateLimit());
  app.addHook('onSend', async (request, reply) => {
    void reply.header('x-request-id', request.id);
    if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-store');
  });

  const feed = await EventFeed.open(services, (error) => log.warn({ err: error }, 'events could not be read'));
  app.addHook('preClose', async () => {
    await feed[Symbol.asyncDispose]();
  });
  const routes: Routes = { app, services, cookie: sessionCookie(isSecure), stopping };
  addHealthRoutes(routes);
  addSessionRoutes(routes);
  addAccountRoutes(routes);
  addUserRoutes(routes);
  addApiTokenRoutes(routes);
  addAuditEventRoutes(routes);
  addEventRoutes(routes, { feed, pingMs });
  const document = JSON.stringify(openApiDocument());
  app.get('/api/docs', async (_request, reply) => {
    return await reply.type('application/json; charset=utf-8').send(document);
  });
  return app;
}

function createApp({ tls, log, trustedProxies, services }: ApiOptions): FastifyInstance {
  const common = {
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    trustProxy: trustedProxies.length === 0 ? false : [...trustedProxies],
    genReqId: () => newId('req', services.clock),
    // A path that cannot be decoded has no route; it is a request all the same.
    frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) => {
      void sendProblem(error, request, reply);
    },
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => refuseConnection(error, socket),
  } as const;
  // The two differ only in the type of their server, which nothing here looks at.
  return (tls ? fastify({ ...common, https: { ...tls } }) : fastify(common)) as FastifyInstance;
}

async function sendProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  const problem = problemOf(errorOfRequest(thrown), request.id);
  if (problem.status >= 500) {
    request.log.error({ err: thrown, method: request.method, url: request.url, requestId: request.id }, problem.title);
  }
  if (problem.retry_after_s !== undefined) void reply.header('retry-after', String(problem.retry_after_s));
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="holdfast"');
  await reply
    .code(problem.status)
    .type(problemMediaType)
    // As text: what was being answered may have another schema for this status.
    .send(JSON.stringify(problem));
}

/** What is no HTTP never becomes a request. */
function refuseConnection(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const detail = isSlow ? 'The request did not arrive in time.' : 'It cannot be parsed as HTTP.';
  const problem = problemOf(new HoldfastError('request_malformed', detail), newId('req'));
  const body = JSON.stringify(problem);
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: ${problemMediaType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}
