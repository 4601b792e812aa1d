/** One call of a command: what was asked, and what of the process it may use. */
import type { Clock } from '@holdfast/base';
import type { Output } from '../terminal/output.ts';
import type { Prompt } from '../terminal/prompt.ts';
import type { ArgumentValues, CommandSpecification, OptionValues } from './specification.ts';

export type Invocation<Specification extends CommandSpecification> = {
  readonly args: ArgumentValues<Specification['arguments']>;
  readonly options: OptionValues<Specification['options']>;
  readonly context: Context;
};

/** What the parser makes, whatever the command: values by name. */
export type ParsedValues = {
  readonly args: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly options: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
};

export type Context = {
  readonly output: Output;
  /** Undefined when nobody sits there to answer. */
  readonly prompt: Prompt | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborted by SIGINT, SIGTERM and SIGHUP, with `interrupted` as reason. */
  readonly signal: AbortSignal;
};
