/** From words to values, by commander, which also words the help. */
import { Argument, Command as Parser, CommanderError, Option } from 'commander';
import { HoldfastError } from '@holdfast/base';
import { everyCommand } from './common-options.ts';
import type { ParsedValues } from './invocation.ts';
import { type CommandSpecification, flagOf, type OptionSpecification } from './specification.ts';

export type Parsed = { readonly kind: 'help'; readonly text: string } | ({ readonly kind: 'values' } & ParsedValues);

/** @param words what comes after the command's name. @throws usage */
export function parseWords(specification: CommandSpecification, words: readonly string[]): Parsed {
  let help = '';
  const parser = parserOf(specification).configureOutput({
    writeOut: (text) => {
      help += text;
    },
    writeErr: () => {},
  });
  try {
    parser.parse([...words], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed') return { kind: 'help', text: help };
    throw new HoldfastError('usage', sentence(error.message), {
      cause: error,
      remedy: `See holdfast ${specification.name} --help.`,
    });
  }
  const given: ParsedValues['options'] = parser.opts();
  return {
    kind: 'values',
    args: Object.fromEntries(
      Object.entries(specification.arguments).map(([name, { repeatable }], index) => {
        const given = parser.processedArgs[index] as string | readonly string[] | undefined;
        return [name, given ?? (repeatable ? [] : undefined)];
      }),
    ),
    options: Object.fromEntries(
      Object.entries(specification.options).map(([name, option]) => [name, given[name] ?? absentValue(option)]),
    ),
  };
}

function parserOf(specification: CommandSpecification): Parser {
  const parser = new Parser(`holdfast ${specification.name}`)
    .description([specification.summary, specification.details].filter((part) => part !== undefined).join('.\n\n'))
    .exitOverride()
    .helpOption('-h, --help', 'Show this help')
    .configureHelp({ styleTitle: (title) => title, helpWidth: 120 });
  for (const [name, { summary, required, repeatable, choices }] of Object.entries(specification.arguments)) {
    const shown = repeatable ? `${name.toUpperCase()}...` : name.toUpperCase();
    const argument = new Argument(required ? `<${shown}>` : `[${shown}]`, summary);
    parser.addArgument(choices ? argument.choices(choices) : argument);
  }
  for (const [name, option] of Object.entries({ ...specification.options, ...everyCommand })) {
    parser.addOption(parserOption(name, option));
  }
  return parser;
}

function parserOption(name: string, specification: OptionSpecification): Option {
  const { summary, value, required, repeatable, choices } = specification;
  const option = new Option(value === undefined ? flagOf(name) : `${flagOf(name)} <${value}>`, summary);
  if (choices) option.choices(choices);
  if (required) option.makeOptionMandatory();
  if (repeatable) {
    option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
  }
  return option;
}

function absentValue({ value, repeatable }: OptionSpecification): false | readonly [] | undefined {
  if (value === undefined) return false;
  return repeatable ? [] : undefined;
}

/** "error: unknown option '--x'" -> "Unknown option '--x'." */
function sentence(message: string): string {
  const text = message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const ended = /[.?)]$/.test(text) ? text : `${text}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
