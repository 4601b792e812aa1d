/** The cookie of a session: out of reach of scripts (HttpOnly) and of requests that other sites make (SameSite). */
import type { CookieSerializeOptions } from '@fastify/cookie';

export type SessionCookie = { readonly name: string; readonly options: CookieSerializeOptions };

/** @param isSecure whether browsers reach the server by HTTPS */
export function sessionCookie(isSecure: boolean): SessionCookie {
  return {
    // A __Host- cookie can be set neither by a subdomain nor without HTTPS.
    name: isSecure ? '__Host-holdfast' : 'holdfast',
    options: { path: '/', httpOnly: true, sameSite: 'strict', secure: isSecure },
  };
}
