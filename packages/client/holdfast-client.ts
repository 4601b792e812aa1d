/**
 * The API as typed calls: `await client.call(listUsers, { query: { limit: 10 } })`. A problem that the server answers is thrown
 * as the error it was there. Answers are typed, not checked: a newer server may say more, and enumerations may grow.
 */
import { type ErrorCode, errorCatalogue, HoldfastError } from '@holdfast/base';
import {
  type Answer,
  type ApiProblem,
  apiRoot,
  type EndpointSpecification,
  problem,
  type Sent,
} from '@holdfast/contracts';
import { fetchTransport, type Transport, type TransportResponse } from './transport.ts';

export type ClientOptions = {
  /** `https://backup.example.com:8443`; without a path. */
  readonly server: string;
  /** `hf_...`; undefined for browsers, where the cookie of the session says who it is, and for what is public. */
  readonly token?: string | undefined;
  /** `fetch` when undefined. */
  readonly transport?: Transport;
};

type Required<Parts> = { readonly [Name in keyof Parts as Parts[Name] extends undefined ? never : Name]: Parts[Name] };

/** The parts that an endpoint has; a query whose fields are all optional may be left out. */
export type CallParts<E extends EndpointSpecification> = Omit<Required<Sent<E>>, 'query'> &
  (Sent<E>['query'] extends undefined ? unknown : { readonly query?: Partial<Sent<E>['query']> });

export type CallOptions = {
  readonly idempotencyKey?: string;
  /** ETag of what the change is based on. */
  readonly ifMatch?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

export type CallResult<E extends EndpointSpecification> = {
  readonly answer: Answer<E>;
  readonly etag: string | undefined;
  readonly isReplay: boolean;
};

/** Parts of any endpoint, as the client puts them together. */
type AnyParts = {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
};

export class HoldfastClient {
  readonly #server: string;
  readonly #token: string | undefined;
  readonly #transport: Transport;

  constructor({ server, token, transport = fetchTransport }: ClientOptions) {
    this.#server = server.replace(/\/+$/, '');
    this.#token = token;
    this.#transport = transport;
  }

  /** @throws server_unreachable server_answer_unknown, and every problem that the server answers */
  async call<E extends EndpointSpecification>(
    endpoint: E,
    parts: CallParts<E>,
    options: CallOptions = {},
  ): Promise<CallResult<E>> {
    const response = await this.#send(endpoint, parts, options);
    return {
      // Typed by the endpoint; see above.
      answer: (endpoint.status === 204 ? undefined : await readJson(response)) as Answer<E>,
      etag: response.header('etag'),
      isReplay: response.header('idempotency-replayed') === 'true',
    };
  }

  /** The answer while it comes: for event streams. @throws as `call` */
  async stream<E extends EndpointSpecification>(
    endpoint: E,
    parts: CallParts<E>,
    options: CallOptions = {},
  ): Promise<AsyncIterable<Uint8Array>> {
    return (await this.#send(endpoint, parts, options)).body;
  }

  async #send(endpoint: EndpointSpecification, parts: AnyParts, options: CallOptions): Promise<TransportResponse> {
    const { body } = parts;
    const request = {
      method: endpoint.method,
      url: `${this.#server}${apiRoot}${pathOf(endpoint.path, parts.params ?? {})}${queryOf(parts.query ?? {})}`,
      headers: this.#headers(options, body !== undefined),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: options.signal,
    };
    let response: TransportResponse;
    try {
      response = await this.#transport(request);
    } catch (cause) {
      options.signal?.throwIfAborted();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HoldfastError('server_unreachable', `${this.#server}: ${reason}`, { cause });
    }
    if (response.status === endpoint.status) return response;
    throw errorOf(await readJson(response), response.status);
  }

  #headers({ idempotencyKey, ifMatch, headers }: CallOptions, hasBody: boolean): Readonly<Record<string, string>> {
    return {
      accept: 'application/json',
      ...(hasBody && { 'content-type': 'application/json' }),
      ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      ...headers,
    };
  }
}

function pathOf(path: string, params: Readonly<Record<string, string>>): string {
  return path.replaceAll(/:([a-z_]+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
}

function queryOf(query: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length === 0
    ? ''
    : `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)])).toString()}`;
}

/** @throws server_answer_unknown */
async function readJson({ body, status }: TransportResponse): Promise<unknown> {
  try {
    const decoder = new TextDecoder();
    let text = '';
    for await (const part of body) text += decoder.decode(part, { stream: true });
    return JSON.parse(text + decoder.decode());
  } catch (cause) {
    throw new HoldfastError('server_answer_unknown', `The answer (status ${status}) is no JSON.`, { cause });
  }
}

function errorOf(content: unknown, status: number): HoldfastError {
  const parsed = problem.safeParse(content);
  if (!parsed.success) return new HoldfastError('server_answer_unknown', `It answered with status ${status}.`);
  const { code, detail, remedy, retry_after_s: retryAfterS, errors, remedies, facts } = parsed.data;
  if (!isKnown(code)) return unknownProblem(parsed.data);
  return new HoldfastError(code, detail, {
    remedy,
    ...(retryAfterS !== undefined && { retryAfterS }),
    ...(errors && { errors }),
    ...(remedies && { remedies }),
    ...(facts && { facts }),
  });
}

function unknownProblem({ code, title, detail, remedy }: ApiProblem): HoldfastError {
  return new HoldfastError('server_answer_unknown', `${title} (${code}): ${detail}`, { remedy });
}

function isKnown(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}
