/** The one error class. Anything else that reaches a border is reported as `internal`. */
import { type ErrorCode, type ErrorEntry, errorCatalogue } from './catalogue.ts';

/** A field of a request that is wrong: JSON pointer into it, such as `/body/email`, and a sentence. */
export type FieldError = { readonly pointer: string; readonly message: string };

/** The machine form of a remedy: a call that leads on. `href` is a path of the API. */
export type Remedy = { readonly action: string; readonly href: string; readonly method: string };

export type HoldfastErrorOptions = {
  readonly cause?: unknown;
  /** Replaces the catalogue's remedy where the place that throws knows better. */
  readonly remedy?: string;
  /** Facts for machines: ids, sizes (bytes), paths. Never secrets. */
  readonly facts?: Readonly<Record<string, string | number | readonly string[]>>;
  /** Seconds after which the same call may succeed, where that is known. */
  readonly retryAfterS?: number;
  readonly errors?: readonly FieldError[];
  readonly remedies?: readonly Remedy[];
};

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly facts: NonNullable<HoldfastErrorOptions['facts']>;
  readonly retryAfterS: number | undefined;
  readonly errors: readonly FieldError[];
  readonly remedies: readonly Remedy[];
  readonly #remedy: string | undefined;

  /** @param detail one sentence about this occurrence: what, where, which value. */
  constructor(code: ErrorCode, detail: string, options: HoldfastErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
    this.retryAfterS = options.retryAfterS;
    this.errors = options.errors ?? [];
    this.remedies = options.remedies ?? [];
    this.#remedy = options.remedy;
  }

  get entry(): ErrorEntry {
    return errorCatalogue[this.code];
  }

  get remedy(): string {
    return this.#remedy ?? this.entry.remedy;
  }

  get exitCode(): number {
    return this.entry.exitCode ?? 1;
  }
}

export function hasCode(error: unknown, ...codes: readonly ErrorCode[]): error is HoldfastError {
  return error instanceof HoldfastError && codes.includes(error.code);
}

/** `errno` name of a Node system error (`ENOENT`), or undefined. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
