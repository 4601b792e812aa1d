/** The OpenAPI 3.1 document, made of the schemas that validate. */
import { type ErrorCode, errorCatalogue } from '@holdfast/base';
import { apiRoot, type EndpointSpecification, endpoints, problem, problemMediaType, tags } from '@holdfast/contracts';
import type { z } from 'zod';
import { type JsonSchema, JsonSchemas } from './json-schemas.ts';

type Parameter = { readonly name: string; readonly in: 'path' | 'query' | 'header'; readonly [field: string]: unknown };

export function openApiDocument(): object {
  const schemas = new JsonSchemas();
  const paths: Record<string, Record<string, unknown>> = {};
  for (const endpoint of endpoints) {
    const path = `${apiRoot}${endpoint.path.replaceAll(/:([a-z_]+)/g, '{$1}')}`;
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: operationOf(endpoint, schemas) };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Holdfast',
      version: '1',
      summary: 'Protection for virtual machines and block volumes on KVM',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'This server' }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: schemas.components,
      securitySchemes: {
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-holdfast',
          description: 'Of POST /api/v1/session. Without HTTPS its name is holdfast.',
        },
        token: { type: 'http', scheme: 'bearer', description: 'An API token, hf_...' },
      },
    },
  };
}

function operationOf(endpoint: EndpointSpecification, schemas: JsonSchemas): object {
  const { id, tag, summary, body } = endpoint;
  const parameters = parametersOf(endpoint, schemas);
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: descriptionOf(endpoint),
    security: securityOf(endpoint),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemas.of(body, 'input') } } },
    }),
    responses: { ...successOf(endpoint, schemas), ...problemsOf(endpoint, schemas) },
  };
}

function descriptionOf({ summary, description, access }: EndpointSpecification): string {
  const scope = typeof access === 'object' ? `API tokens need the scope \`${access.scope}\`.` : undefined;
  const person = access === 'session' ? 'For people who are signed in; API tokens are refused.' : undefined;
  const role = typeof access === 'object' && access.role === 'admin' ? 'For administrators.' : undefined;
  return [description ?? `${summary}.`, role, scope, person].filter((part) => part !== undefined).join(' ');
}

function securityOf({ access }: EndpointSpecification): readonly object[] {
  if (access === 'public') return [];
  return access === 'session' ? [{ session: [] }] : [{ session: [] }, { token: [] }];
}

function parametersOf(endpoint: EndpointSpecification, schemas: JsonSchemas): readonly Parameter[] {
  const { params, query, ifMatch, idempotent, answers } = endpoint;
  const text = { type: 'string' };
  return [
    ...fieldsOf(params, 'path', schemas),
    ...fieldsOf(query, 'query', schemas),
    ...(ifMatch
      ? [
          header(
            'If-Match',
            text,
            'The ETag that the change is based on; 412 when it is another one now',
            ifMatch === 'required',
          ),
        ]
      : []),
    ...(idempotent
      ? [
          header(
            'Idempotency-Key',
            { ...text, maxLength: 255 },
            'Sent again within 24 h, the request answers as it did first',
          ),
        ]
      : []),
    ...(answers === 'event_stream' ? [header('Last-Event-ID', text, 'Resume after this event')] : []),
  ];
}

function header(name: string, schema: JsonSchema, description: string, required = false): Parameter {
  return { name, in: 'header', required, description, schema };
}

function fieldsOf(part: z.ZodObject | undefined, place: 'path' | 'query', schemas: JsonSchemas): readonly Parameter[] {
  return Object.entries<z.ZodType>((part?.shape ?? {}) as Record<string, z.ZodType>).map(([name, field]): Parameter => {
    // Numbers arrive as text, so it is what they become that says what to send.
    const { description, ...schema } = schemas.of(field, 'output');
    const required = !field.safeParse(undefined).success;
    return { name, in: place, required, ...(description !== undefined && { description }), schema };
  });
}

function successOf(endpoint: EndpointSpecification, schemas: JsonSchemas): object {
  const { status, answer, answers, etag, idempotent, id } = endpoint;
  const mediaType = answers === 'event_stream' ? 'text/event-stream' : 'application/json';
  const headers = {
    ...(etag && { ETag: { schema: { type: 'string' }, description: 'Of the version that was answered' } }),
    ...(idempotent && {
      'Idempotency-Replayed': { schema: { type: 'string', const: 'true' }, description: 'It is the answer of before' },
    }),
    ...(id === 'log_in' && { 'Set-Cookie': { schema: { type: 'string' }, description: 'The session' } }),
  };
  return {
    [status]: {
      description: status === 204 ? 'Done' : 'What was asked for',
      ...(Object.keys(headers).length > 0 && { headers }),
      ...(answer && { content: { [mediaType]: { schema: schemas.of(answer, 'output') } } }),
    },
  };
}

/** What a call of this kind may fail with, beside its own. */
function commonProblems(endpoint: EndpointSpecification): readonly ErrorCode[] {
  const { access, body, params, query, ifMatch, idempotent, method } = endpoint;
  return [
    'request_malformed',
    'rate_limited',
    'internal',
    'database_unreachable',
    ...(access === 'public' ? [] : (['unauthenticated', 'session_invalid', 'token_invalid', 'token_expired'] as const)),
    ...(access === 'session' ? (['session_required'] as const) : []),
    ...(typeof access === 'object' ? (['scope_missing'] as const) : []),
    ...(typeof access === 'object' && access.role ? (['permission_denied'] as const) : []),
    ...(typeof access === 'object' && !access.role && method !== 'GET'
      ? (['permission_denied', 'account_suspended'] as const)
      : []),
    ...(method === 'GET' ? [] : (['cross_site_refused'] as const)),
    ...(body ? (['json_malformed', 'body_too_large', 'media_type_unsupported'] as const) : []),
    ...(body || params || query ? (['request_invalid'] as const) : []),
    ...(ifMatch ? (['precondition_failed'] as const) : []),
    ...(ifMatch === 'required' ? (['precondition_required'] as const) : []),
    ...(idempotent ? (['idempotency_in_progress', 'idempotency_mismatch', 'request_invalid'] as const) : []),
  ];
}

function problemsOf(endpoint: EndpointSpecification, schemas: JsonSchemas): object {
  const codes = new Set([...commonProblems(endpoint), ...endpoint.problems]);
  const byStatus = Map.groupBy([...codes].toSorted(), (code) => errorCatalogue[code].status);
  const schema = schemas.of(problem, 'output');
  const responses = [...byStatus].map(([status, some]) => [
    status,
    {
      description: some.map((code) => `\`${code}\`: ${errorCatalogue[code].title}`).join('; '),
      ...(status === 429 && { headers: { 'Retry-After': { schema: { type: 'integer' }, description: 'Seconds' } } }),
      content: { [problemMediaType]: { schema } },
    },
  ]);
  return Object.fromEntries(responses);
}
