/** How requests get to the server: `fetch` in browsers, `nodeTransport` where a CA of the server's own has to be trusted. */

export type TransportRequest = {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  readonly signal: AbortSignal | undefined;
};

export type TransportResponse = {
  readonly status: number;
  /** @param name in lower case */
  header(name: string): string | undefined;
  /** Read once, or not at all. */
  readonly body: AsyncIterable<Uint8Array>;
};

/** Rejects when no answer comes, with whatever the platform says. */
export type Transport = (request: TransportRequest) => Promise<TransportResponse>;

export const fetchTransport: Transport = async ({ method, url, headers, body, signal }) => {
  const response = await fetch(url, {
    method,
    headers,
    ...(body !== undefined && { body }),
    ...(signal && { signal }),
    credentials: 'same-origin',
    redirect: 'error',
  });
  return {
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    body: response.body ?? none(),
  };
};

async function* none(): AsyncGenerator<Uint8Array> {
  // An answer without a body, such as 204.
}
