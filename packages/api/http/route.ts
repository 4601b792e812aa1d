/**
 * From an endpoint of the contracts to a route of fastify. What every call has in common is done here, once: who is asking
 * and whether they may, `If-Match`, `Idempotency-Key`, ETag and Location. A route's own file is left with what it does.
 */
import { HoldfastError } from '@holdfast/base';
import { type Answer, apiRoot, type EndpointSpecification, type Received } from '@holdfast/contracts';
import { inTransaction, type Schema } from '@holdfast/database';
import { type Actor, type ActorChanging, authorize } from '@holdfast/domain';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Transaction } from 'kysely';
import type { z } from 'zod';
import { runOnce } from '../idempotency/run-once.ts';
import type { Services } from '../services.ts';
import { authenticateRequest, refuseCrossSite } from './authenticate-request.ts';
import { etagOf, versionAsked } from './etag.ts';
import type { SessionCookie } from './session-cookie.ts';

/** What routes are added to. */
export type Routes = {
  readonly app: FastifyInstance;
  readonly services: Services;
  readonly cookie: SessionCookie;
  /** Aborted when the server stops: what does not end by itself ends then. */
  readonly stopping: AbortSignal;
};

export type Call<E extends EndpointSpecification> = Received<E> & {
  readonly actor: E['access'] extends 'public' ? undefined : Actor;
  /** The version that `If-Match` asks for; undefined when any will do. */
  readonly version: number | undefined;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /**
   * What the call changes, whole or not at all. Where the endpoint is idempotent, a repetition gets the first answer
   * without `work` being called.
   */
  readonly change: <Result>(work: (changing: ActorChanging) => Promise<Result>) => Promise<Result>;
};

export type Handler<E extends EndpointSpecification> = (
  call: Call<E>,
) => Promise<E['answer'] extends z.ZodType ? Answer<E> : void>;

export function addRoute<E extends EndpointSpecification>(routes: Routes, endpoint: E, handler: Handler<E>): void {
  const { app, services, cookie } = routes;
  const { method, path, params, query, body, status, answer } = endpoint;
  app.route({
    method,
    url: `${apiRoot}${path}`,
    schema: {
      ...(params && { params }),
      ...(query && { querystring: query }),
      ...(body && { body }),
      ...(answer && endpoint.answers !== 'event_stream' && { response: { [status]: answer } }),
    },
    // Before the body is looked at: who may not call learns nothing about what would be right.
    onRequest: async (request) => {
      request.actor = await admit(request, endpoint, { services, cookieName: cookie.name });
    },
    handler: async (request, reply) => {
      const call = callOf(endpoint, { request, reply, services });
      // The schemas of this endpoint made its parts, which the compiler cannot see.
      const result = await handler(call as unknown as Call<E>);
      if (reply.sent) return reply;
      reply.code(status);
      addHeaders(endpoint, { request, reply, result });
      return await reply.send(result);
    },
  });
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Undefined at endpoints that are public. */
    actor: Actor | undefined;
  }
}

async function admit(
  request: FastifyRequest,
  { access, method }: EndpointSpecification,
  context: Parameters<typeof authenticateRequest>[1],
): Promise<Actor | undefined> {
  if (access === 'public') {
    // Signing somebody in as somebody else from another site is an attack too.
    refuseCrossSite(request);
    return undefined;
  }
  const actor = await authenticateRequest(request, context);
  authorize(actor, { access, changes: method !== 'GET' });
  return actor;
}

function callOf(
  endpoint: EndpointSpecification,
  context: { readonly request: FastifyRequest; readonly reply: FastifyReply; readonly services: Services },
) {
  const { request, reply, services } = context;
  const { actor, params, query, body, headers } = request;
  const { clock, seal } = services;
  const { db } = services.database;
  const change = async <Result>(work: (changing: ActorChanging) => Promise<Result>): Promise<Result> => {
    if (!actor) throw new TypeError(`${endpoint.id} is public, so nobody is known who could change anything`);
    const within = (transaction: Transaction<Schema>) => work({ transaction, clock, actor });
    if (!endpoint.idempotent) return await inTransaction({ db }, within);
    const key = oneOf(headers['idempotency-key']);
    const fingerprint = `${endpoint.method} ${request.url}\n${JSON.stringify(body ?? null)}`;
    const once = await runOnce({ db, clock, seal, actor, key, fingerprint, status: endpoint.status }, within);
    if (once.isReplay) void reply.header('idempotency-replayed', 'true');
    return once.answer;
  };
  const version = endpoint.ifMatch === undefined ? undefined : versionAsked(headers['if-match'], endpoint.ifMatch);
  return { actor, params, query, body, version, request, reply, change };
}

/** @throws request_invalid when a header is there twice */
function oneOf(header: string | string[] | undefined): string | undefined {
  if (!Array.isArray(header)) return header;
  throw new HoldfastError('request_invalid', 'The Idempotency-Key is there more than once.');
}

function addHeaders(
  endpoint: EndpointSpecification,
  {
    request,
    reply,
    result,
  }: { readonly request: FastifyRequest; readonly reply: FastifyReply; readonly result: unknown },
): void {
  const fields: Readonly<Record<string, unknown>> = typeof result === 'object' && result !== null ? { ...result } : {};
  const { id, version } = fields;
  if (endpoint.etag && typeof version === 'number') reply.header('etag', etagOf(version));
  if (endpoint.status === 201 && typeof id === 'string') reply.header('location', `${request.url.split('?')[0]}/${id}`);
}
