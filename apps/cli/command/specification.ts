/**
 * What a command looks like from outside. Parser, help and shell completion are all made from this one description, so
 * they cannot disagree.
 */
import type { Context, Invocation, ParsedValues } from './invocation.ts';

/** What a shell offers in this place. */
export type Completion = 'file' | 'directory';

export type OptionSpecification = {
  /** One line, no full stop at the end. */
  readonly summary: string;
  /** Placeholder of its value in help, `URL`; absent for a switch. */
  readonly value?: string;
  readonly required?: true;
  /** May be given several times. */
  readonly repeatable?: true;
  readonly choices?: readonly string[];
  readonly completes?: Completion;
};

export type ArgumentSpecification = {
  readonly summary: string;
  readonly required?: true;
  /** May be given several times; only of the last argument. */
  readonly repeatable?: true;
  readonly choices?: readonly string[];
  readonly completes?: Completion;
};

/** Keys are in camel case; on the command line `chunkSize` is `--chunk-size` and the argument `source` is `SOURCE`. */
export type OptionSpecifications = Readonly<Record<string, OptionSpecification>>;
export type ArgumentSpecifications = Readonly<Record<string, ArgumentSpecification>>;

type Value<Specification extends OptionSpecification | ArgumentSpecification> = Specification extends {
  readonly choices: readonly (infer Choice)[];
}
  ? Choice
  : string;

export type OptionValues<Options extends OptionSpecifications> = {
  readonly [Name in keyof Options]: Options[Name] extends { readonly value: string }
    ? Options[Name] extends { readonly repeatable: true }
      ? readonly Value<Options[Name]>[]
      : Options[Name] extends { readonly required: true }
        ? Value<Options[Name]>
        : Value<Options[Name]> | undefined
    : boolean;
};

export type ArgumentValues<Arguments extends ArgumentSpecifications> = {
  readonly [Name in keyof Arguments]: Arguments[Name] extends { readonly repeatable: true }
    ? readonly Value<Arguments[Name]>[]
    : Arguments[Name] extends { readonly required: true }
      ? Value<Arguments[Name]>
      : Value<Arguments[Name]> | undefined;
};

export type CommandSpecification = {
  /** `repo init`. */
  readonly name: string;
  readonly summary: string;
  /** More about it, for its own help: sentences. */
  readonly details?: string;
  /** In the order in which they are given. */
  readonly arguments: ArgumentSpecifications;
  readonly options: OptionSpecifications;
};

export type Command = CommandSpecification & {
  /** Ends when the work is done and its result printed. Values are as `arguments` and `options` describe them. */
  run(invocation: ParsedValues & { readonly context: Context }): Promise<void>;
};

/** Gives `run` the types that follow from the description. */
export function defineCommand<const Specification extends CommandSpecification>(
  specification: Specification,
  run: (invocation: Invocation<Specification>) => Promise<void>,
): Command {
  return {
    ...specification,
    // The parser makes values of exactly this description, which the compiler cannot see.
    run: (invocation) => run(invocation as unknown as Invocation<Specification>),
  };
}

/** `chunkSize` -> `--chunk-size`. */
export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
