/** The one error class. Anything else that reaches a border is reported as `internal`. */
import { type ErrorCode, type ErrorEntry, errorCatalogue } from './catalogue.ts';

export type HoldfastErrorOptions = {
  readonly cause?: unknown;
  /** Replaces the catalogue's remedy where the place that throws knows better. */
  readonly remedy?: string;
  /** Facts for machines: ids, sizes (bytes), paths. Never secrets. */
  readonly facts?: Readonly<Record<string, string | number | readonly string[]>>;
};

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly facts: NonNullable<HoldfastErrorOptions['facts']>;
  readonly #remedy: string | undefined;

  /** @param detail one sentence about this occurrence: what, where, which value. */
  constructor(code: ErrorCode, detail: string, options: HoldfastErrorOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
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
