/** RFC 9457 problems are made here and nowhere else. */
import { type FieldError, HoldfastError, type Remedy } from './holdfast-error.ts';

export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly remedy: string;
  readonly facts?: HoldfastError['facts'];
  readonly retry_after_s?: number;
  readonly errors?: readonly FieldError[];
  readonly remedies?: readonly Remedy[];
};

/** Never throws. An error that is not ours becomes `internal` with its message as detail. */
export function toProblem(error: unknown): Problem {
  const known =
    error instanceof HoldfastError
      ? error
      : new HoldfastError('internal', error instanceof Error ? error.message : String(error), { cause: error });
  const { entry, facts, retryAfterS, errors, remedies } = known;
  return {
    type: `https://holdfast.invalid/errors/${known.code}`,
    title: entry.title,
    status: entry.status,
    code: known.code,
    detail: known.message,
    retryable: entry.retry === 'later',
    remedy: known.remedy,
    ...(Object.keys(facts).length > 0 && { facts }),
    ...(retryAfterS !== undefined && { retry_after_s: retryAfterS }),
    ...(errors.length > 0 && { errors }),
    ...(remedies.length > 0 && { remedies }),
  };
}
