/** Completion for fish. */
import type { CommandSpecification } from '../command/specification.ts';
import { type ArgumentWord, commandWords, type FlagWord, firstWords, secondWords } from './words.ts';

export function fishCompletion(commands: readonly CommandSpecification[]): string {
  const lines = [
    '# fish completion for holdfast; made by: holdfast completion fish',
    'function __holdfast_words_are',
    '  set -l words (commandline -opc)',
    '  set -l last (math (count $argv) + 1)',
    '  test "$words[2..$last]" = "$argv"',
    'end',
    'function __holdfast_is_at',
    '  test (count (commandline -opc)) -eq $argv[1]',
    'end',
    'complete -c holdfast -f',
    'complete -c holdfast -n "__holdfast_is_at 1" -l version -d "Print the version"',
    ...[...firstWords(commands)].map(
      ([word, summary]) => `complete -c holdfast -n "__holdfast_is_at 1" -a ${word} -d ${quote(summary)}`,
    ),
    ...[...secondWords(commands)].flatMap(([group, members]) =>
      members.map(
        ({ name, summary }) =>
          `complete -c holdfast -n "__holdfast_is_at 2; and __holdfast_words_are ${group}" -a ${name.slice(group.length + 1)} -d ${quote(summary)}`,
      ),
    ),
    ...commands.flatMap(commandLines),
  ];
  return lines.join('\n');
}

function commandLines(command: CommandSpecification): readonly string[] {
  const { name, flags, arguments: words } = commandWords(command);
  const start = `complete -c holdfast -n "__holdfast_words_are ${name}"`;
  return [
    ...flags.map((flag) => {
      const value = flag.value === undefined ? '' : ` ${offer(flag)}`;
      return `${start} -l ${flag.flag.slice(2)}${value} -d ${quote(flag.summary)}`;
    }),
    ...words
      .filter(({ choices, completes }) => choices ?? completes)
      .map((word) => `${start} ${offer(word).replace(/^-[rx] ?/, '')}`),
  ];
}

/** -x: a value, and no files; -r: a value. */
function offer({ choices, completes }: FlagWord | ArgumentWord): string {
  if (choices) return `-x -a ${quote(choices.join(' '))}`;
  if (completes === 'directory') return '-x -a "(__fish_complete_directories)"';
  return completes === 'file' ? '-r -F' : '-x';
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, (character) => `\\${character}`)}'`;
}
