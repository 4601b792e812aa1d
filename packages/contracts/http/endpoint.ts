/**
 * One call of the API as data: the server registers it, the OpenAPI document describes it and the client is typed by it,
 * so the three cannot disagree.
 */
import type { ErrorCode } from '@holdfast/base';
import type { z } from 'zod';
import type { Scope } from './scope.ts';
import type { Tag } from './tags.ts';

/** Everything but the document itself lies below it. */
export const apiRoot = '/api/v1';

/**
 * Who may call: `public` everybody; `signed_in` every session and every API token; `session` a person's session alone;
 * otherwise sessions, and API tokens with this scope. `role: admin` keeps it to administrators.
 */
export type Access = 'public' | 'signed_in' | 'session' | { readonly scope: Scope; readonly role?: 'admin' };

export type EndpointSpecification = {
  /** Name of the call in the OpenAPI document and in clients: `list_users`. */
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Below `apiRoot`: `/users/:user_id`. */
  readonly path: `/${string}`;
  readonly tag: Tag;
  /** One line, no full stop at the end. */
  readonly summary: string;
  /** More about it: sentences. */
  readonly description?: string;
  readonly access: Access;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodObject;
  /** Status when all went well. */
  readonly status: 200 | 201 | 202 | 204;
  /** What it answers then; absent with 204. */
  readonly answer?: z.ZodType;
  /** `json` when absent. A stream is answered by the route itself. */
  readonly answers?: 'event_stream';
  /** The answer carries an ETag. */
  readonly etag?: true;
  /** `If-Match` is looked at: `optional`, or `required` with 428 when it lacks. */
  readonly ifMatch?: 'optional' | 'required';
  /** A POST that may be sent again with the same `Idempotency-Key` and answers as it did first. */
  readonly idempotent?: true;
  /** Problems of its own, beside those that every call may answer. */
  readonly problems: readonly ErrorCode[];
};

export function endpoint<const Specification extends EndpointSpecification>(
  specification: Specification,
): Specification {
  return specification;
}

type Part<Schema> = Schema extends z.ZodType ? z.input<Schema> : undefined;

/** What a caller sends, part by part; a part that the endpoint does not have is undefined. */
export type Sent<E extends EndpointSpecification> = {
  readonly params: Part<E['params']>;
  readonly query: Part<E['query']>;
  readonly body: Part<E['body']>;
};

/** What the server reads from it: defaults filled in. */
export type Received<E extends EndpointSpecification> = {
  readonly params: E['params'] extends z.ZodType ? z.output<E['params']> : undefined;
  readonly query: E['query'] extends z.ZodType ? z.output<E['query']> : undefined;
  readonly body: E['body'] extends z.ZodType ? z.output<E['body']> : undefined;
};

export type Answer<E extends EndpointSpecification> = E['answer'] extends z.ZodType ? z.output<E['answer']> : undefined;
