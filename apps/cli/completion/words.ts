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

/**
 * The words that may come after each beginning of a command, with what they are about: after nothing (``) `repo` among
 * others, after `repo` init, check and adopt, after `volume` snapshot, after `volume snapshot` create and so on.
 */
export function nextWords(commands: readonly CommandSpecification[]): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const next = new Map<string, Map<string, string>>();
  for (const { name, summary } of commands) {
    const words = name.split(' ');
    for (const [index, word] of words.entries()) {
      const beginning = words.slice(0, index).join(' ');
      const after = next.get(beginning) ?? new Map<string, string>();
      const following = words[index + 1];
      const about = after.get(word)?.split(', ') ?? [];
      const isNew = following !== undefined && !about.includes(following);
      if (following === undefined) after.set(word, summary);
      else if (isNew) after.set(word, [...about, following].join(', '));
      next.set(beginning, after);
    }
  }
  return next;
}
