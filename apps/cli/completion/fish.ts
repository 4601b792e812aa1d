/** Completion for fish. */
import type { CommandSpecification } from '../command/specification.ts';
import { type ArgumentWord, commandWords, type FlagWord, nextWords } from './words.ts';

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
    ...[...nextWords(commands)].flatMap(([beginning, words]) => wordLines(beginning, words)),
    ...commands.flatMap(commandLines),
  ];
  return lines.join('\n');
}

function wordLines(beginning: string, words: ReadonlyMap<string, string>): readonly string[] {
  const before = beginning === '' ? [] : beginning.split(' ');
  const position = `__holdfast_is_at ${before.length + 1}`;
  const place = before.length === 0 ? position : `${position}; and __holdfast_words_are ${beginning}`;
  return [...words].map(([word, about]) => `complete -c holdfast -n "${place}" -a ${word} -d ${quote(about)}`);
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
