/** Who sends a request: an API token in `Authorization`, or else the cookie of a session. */
import { HoldfastError } from '@holdfast/base';
import { type Actor, actorOfSession, actorOfToken } from '@holdfast/domain';
import type { FastifyRequest } from 'fastify';
import type { Services } from '../services.ts';
import { isCrossSite } from './cross-site.ts';

/** @throws unauthenticated session_invalid token_invalid token_expired cross_site_refused */
export async function authenticateRequest(
  request: FastifyRequest,
  { services, cookieName }: { readonly services: Services; readonly cookieName: string },
): Promise<Actor> {
  const context = { db: services.database.db, clock: services.clock, ip: request.ip };
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
    if (token === undefined) throw new HoldfastError('unauthenticated', 'The Authorization header is no Bearer token.');
    return await actorOfToken(context, token);
  }
  const secret = request.cookies[cookieName];
  if (secret === undefined)
    throw new HoldfastError('unauthenticated', 'The request has neither a session nor a token.');
  refuseCrossSite(request);
  return await actorOfSession(context, secret);
}

/** @throws cross_site_refused */
export function refuseCrossSite({ method, headers }: FastifyRequest): void {
  const secFetchSite = headers['sec-fetch-site'];
  const site = Array.isArray(secFetchSite) ? secFetchSite.join() : secFetchSite;
  if (!isCrossSite({ method, secFetchSite: site, origin: headers.origin, host: headers.host })) return;
  throw new HoldfastError('cross_site_refused', `The request was made by ${headers.origin ?? 'another site'}.`);
}
