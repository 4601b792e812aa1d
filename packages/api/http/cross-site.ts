/**
 * A browser sends the cookie of a session along with requests that another site makes. SameSite=Strict keeps most of them
 * back; this refuses the rest (a sibling subdomain, an old browser) without tokens in forms: every browser says with a
 * changing request where it comes from. What says nothing is no browser, so nobody's cookie can be abused through it.
 */
export type Origin = {
  readonly method: string;
  readonly secFetchSite: string | undefined;
  readonly origin: string | undefined;
  readonly host: string | undefined;
};

export function isCrossSite({ method, secFetchSite, origin, host }: Origin): boolean {
  if (method === 'GET' || method === 'HEAD') return false;
  if (secFetchSite !== undefined) return secFetchSite !== 'same-origin' && secFetchSite !== 'none';
  if (origin === undefined) return false;
  // The scheme is not compared: behind a proxy the server does not know its own.
  return !URL.canParse(origin) || new URL(origin).host !== host;
}
