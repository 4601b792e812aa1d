/** What goes wrong with a request, whoever finds it, as errors of ours; and errors of ours as the problem that is sent. */
import { type ErrorCode, type FieldError, HoldfastError, type Problem, toProblem } from '@holdfast/base';
import { type ApiProblem, apiRoot } from '@holdfast/contracts';
import type { FastifyError } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';

/** What fastify finds wrong before a route sees the request. */
const frameworkCodes: Readonly<Record<string, { readonly code: ErrorCode; readonly detail: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: 'body_too_large', detail: 'The body has more bytes than the API takes.' },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: 'media_type_unsupported',
    detail: 'The content-type is not application/json.',
  },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: 'json_malformed', detail: 'The body cannot be parsed as JSON.' },
  FST_ERR_CTP_EMPTY_JSON_BODY: { code: 'json_malformed', detail: 'The body is empty, though content-type says JSON.' },
};

/** Whatever was thrown while a request was answered. */
export function errorOfRequest(error: unknown): unknown {
  if (error instanceof HoldfastError || !isFrameworkError(error)) return error;
  if (hasZodFastifySchemaValidationErrors(error)) return validationError(error);
  const known = frameworkCodes[error.code];
  if (known) return new HoldfastError(known.code, known.detail, { cause: error });
  if (error.statusCode === undefined || error.statusCode >= 500) return error;
  return new HoldfastError('request_malformed', error.message, { cause: error });
}

/**
 * The problem as it is sent. Of a failure of ours nothing is told but its name in the log: what a database or a library
 * says may hold what is nobody's business.
 */
export function problemOf(error: unknown, requestId: string): ApiProblem {
  const problem = toProblem(error);
  const remedies = problem.remedies ?? waysOn(problem);
  return {
    ...withoutReadonly(problem),
    ...(problem.code === 'internal' && {
      detail: `The request could not be answered. The log of the server says why, under ${requestId}.`,
      remedy: 'Report it with what the log says.',
    }),
    ...(remedies.length > 0 && { remedies: [...remedies] }),
    instance: `urn:holdfast:request:${requestId}`,
  };
}

function withoutReadonly({
  errors,
  facts,
  remedies: _remedies,
  ...rest
}: Problem): Omit<ApiProblem, 'instance' | 'remedies'> {
  const copied = Object.entries(facts ?? {}).map(([name, value]) => [name, Array.isArray(value) ? [...value] : value]);
  return {
    ...rest,
    ...(errors && { errors: errors.map((error) => ({ ...error })) }),
    ...(facts && { facts: Object.fromEntries(copied) }),
  };
}

function waysOn({ code, status }: Problem): NonNullable<Problem['remedies']> {
  if (code === 'precondition_failed' || code === 'precondition_required') return [];
  if (status === 401) return [{ action: 'log_in', href: `${apiRoot}/session`, method: 'POST' }];
  if (code === 'route_not_found') return [{ action: 'read_documentation', href: '/api/docs', method: 'GET' }];
  return [];
}

function isFrameworkError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code.startsWith('FST_');
}

function validationError(error: FastifyError): HoldfastError {
  const part = error.validationContext === 'querystring' ? 'query' : (error.validationContext ?? 'body');
  const errors = (error.validation ?? []).flatMap(({ instancePath, keyword, params, message }): FieldError[] => {
    const pointer = `/${part}${instancePath === '/' ? '' : instancePath}`;
    const unknown = keyword === ('unrecognized_keys' as string) ? params['keys'] : undefined;
    if (!Array.isArray(unknown)) return [{ pointer, message: sentence(message ?? 'It is not valid.') }];
    return unknown.map((name) => ({ pointer: `${pointer}/${String(name)}`, message: 'There is no such field.' }));
  });
  const named = errors.slice(0, 3).map(({ pointer, message }) => `${pointer}: ${message}`);
  const more = errors.length > 3 ? ` And ${errors.length - 3} more.` : '';
  return new HoldfastError('request_invalid', `${named.join(' ')}${more}`, { errors, cause: error });
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
