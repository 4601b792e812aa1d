/** Completion for zsh. */
import type { CommandSpecification } from '../command/specification.ts';
import { type ArgumentWord, commandWords, type FlagWord, firstWords, secondWords } from './words.ts';

export function zshCompletion(commands: readonly CommandSpecification[]): string {
  const groups = secondWords(commands);
  return `#compdef holdfast
# zsh completion for holdfast; made by: holdfast completion zsh
_holdfast() {
  local -a commands
  if ((CURRENT == 2)); then
    commands=(
${[...firstWords(commands)].map(([word, summary]) => `      ${quote(described(word, summary))}`).join('\n')}
    )
    _describe command commands
    return
  fi
  if ((CURRENT == 3)); then
    case $words[2] in
${[...groups].map(([group, members]) => groupCase(group, members)).join('\n')}
    esac
  fi
  local name="$words[2] $words[3]" skip=2
  case $name in
    ${[...groups.values()]
      .flat()
      .map(({ name }) => quote(name))
      .join(' | ')}) ;;
    *) name=$words[2]; skip=1 ;;
  esac
  shift $skip words
  ((CURRENT -= skip))
  case $name in
${commands.map(commandCase).join('\n')}
  esac
}
if [[ $funcstack[1] == _holdfast ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi`;
}

function groupCase(group: string, members: readonly CommandSpecification[]): string {
  const lines = members.map(
    ({ name, summary }) => `          ${quote(described(name.slice(group.length + 1), summary))}`,
  );
  return `      ${group})
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
