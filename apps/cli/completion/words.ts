/** What every shell's script is made of: the words that can follow each other. */
import { everyCommand } from '../command/common-options.ts';
import {
  type ArgumentSpecification,
  type CommandSpecification,
  flagOf,
  type OptionSpecification,
} from '../command/specification.ts';

export type FlagWord = OptionSpecification & { readonly flag: string };
export type ArgumentWord = ArgumentSpecification & { readonly name: string };

export type CommandWords = {
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly FlagWord[];
  readonly arguments: readonly ArgumentWord[];
};

export function commandWords(command: CommandSpecification): CommandWords {
  return {
    name: command.name,
    summary: command.summary,
    flags: Object.entries({ ...command.options, ...everyCommand }).map(([name, option]) => ({
      ...option,
      flag: flagOf(name),
    })),
    arguments: Object.entries(command.arguments).map(([name, argument]) => ({ ...argument, name: name.toUpperCase() })),
  };
}

/** First words of commands: `repo` once, with the summaries of what follows it. */
export function firstWords(commands: readonly CommandSpecification[]): ReadonlyMap<string, string> {
  const words = new Map<string, string>();
  for (const { name, summary } of commands) {
    const [first = '', second] = name.split(' ');
    const before = words.get(first);
    words.set(first, second === undefined ? summary : before === undefined ? second : `${before}, ${second}`);
  }
  return words;
}

/** Second words of each group: `repo` -> init, check, adopt. */
export function secondWords(
  commands: readonly CommandSpecification[],
): ReadonlyMap<string, readonly CommandSpecification[]> {
  const groups = commands.filter(({ name }) => name.includes(' '));
  return Map.groupBy(groups, ({ name }) => name.slice(0, name.indexOf(' ')));
}
