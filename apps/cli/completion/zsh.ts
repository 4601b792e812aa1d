/** Completion for zsh. */
import type { CommandSpecification } from '../command/specification.ts';
import { type ArgumentWord, commandWords, type FlagWord, nextWords } from './words.ts';

export function zshCompletion(commands: readonly CommandSpecification[]): string {
  return `#compdef holdfast
# zsh completion for holdfast; made by: holdfast completion zsh
_holdfast() {
  local -a commands
  case "\${(j: :)words[2,CURRENT-1]}" in
${[...nextWords(commands)].map(([beginning, words]) => groupCase(beginning, words)).join('\n')}
  esac
  local name skip
  for skip in 3 2 1; do
    name="\${(j: :)words[2,skip+1]}"
    case $name in
      ${commands.map(({ name }) => quote(name)).join(' | ')}) break ;;
    esac
  done
  shift $skip words
  ((CURRENT -= skip))
  case $name in
${commands.map(commandCase).join('\n')}
  esac
}
if [[ $funcstack[1] == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi`;
}

function groupCase(beginning: string, words: ReadonlyMap<string, string>): string {
  const lines = [...words].map(([word, about]) => `        ${quote(described(word, about))}`);
  return `    ${quote(beginning)})
      commands=(
${lines.join('\n')}
      )
      _describe command commands
      return
      ;;`;
}

function commandCase(command: CommandSpecification): string {
  const { name, flags, arguments: words } = commandWords(command);
  const specifications = [
    ...flags.map((flag) => {
      const value = flag.value === undefined ? '' : `:${flag.value}:${action(flag)}`;
      return `${flag.repeatable ? '*' : ''}${flag.flag}[${bracketed(flag.summary)}]${value}`;
    }),
    '--help[Show this help]',
    ...words.map((word, index) => `${word.repeatable ? '*' : index + 1}:${word.name}:${action(word)}`),
  ];
  return `    ${quote(name)})
      _arguments \\
${specifications.map((text) => `        ${quote(text)}`).join(' \\\n')}
      ;;`;
}

function action({ choices, completes }: FlagWord | ArgumentWord): string {
  if (choices) return `(${choices.join(' ')})`;
  if (completes === undefined) return ' ';
  return completes === 'file' ? '_files' : '_files -/';
}

function described(word: string, summary: string): string {
  return `${word}:${summary.replaceAll(':', '\\:')}`;
}

function bracketed(text: string): string {
  return text.replace(/[[\]:\\]/g, (character) => `\\${character}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
