/** Completion for bash, without the bash-completion package. */
import type { CommandSpecification } from '../command/specification.ts';
import { type ArgumentWord, commandWords, type FlagWord, nextWords } from './words.ts';

export function bashCompletion(commands: readonly CommandSpecification[]): string {
  const { top, groups } = beginnings(commands);
  const names = commands.map(({ name }) => `"${name}"`).join(' | ');
  return `# bash completion for holdfast; made by: holdfast completion bash
_holdfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} words='' kind='' command length
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${top.join(' ')} --help --version' -- "$current"))
    return
  fi
  case "\${COMP_WORDS[*]:1:COMP_CWORD-1}" in
${groups.map(([beginning, words]) => `    "${beginning}") words='${words.join(' ')}' ;;`).join('\n')}
  esac
  if [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    return
  fi
  for length in 3 2 1; do
    command="\${COMP_WORDS[*]:1:length}"
    case $command in
      ${names}) break ;;
    esac
  done
  case "$command $before" in
${commands.flatMap(valueCases).join('\n')}
    *)
      case $command in
${commands.map(wordCase).join('\n')}
      esac
      ;;
  esac
  case $kind in
    file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$current")) ;;
    directory) compopt -o filenames; COMPREPLY=($(compgen -d -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
  esac
}
complete -F _holdfast holdfast`;
}

function beginnings(commands: readonly CommandSpecification[]): {
  readonly top: readonly string[];
  readonly groups: readonly (readonly [beginning: string, words: readonly string[]])[];
} {
  const next = [...nextWords(commands)].map(([beginning, words]) => [beginning, [...words.keys()]] as const);
  return { top: next.find(([beginning]) => beginning === '')?.[1] ?? [], groups: next.filter(([text]) => text !== '') };
}

function valueCases(command: CommandSpecification): readonly string[] {
  return commandWords(command)
    .flags.filter(({ value }) => value !== undefined)
    .map((flag) => `    "${command.name} ${flag.flag}") ${assignment(flag)} ;;`);
}

function wordCase(command: CommandSpecification): string {
  const { name, flags, arguments: words } = commandWords(command);
  const [first] = words;
  const offered = `words='${[...flags.map(({ flag }) => flag), '--help', ...(first?.choices ?? [])].join(' ')}'`;
  return `        "${name}") ${offered}${first?.completes ? `; [[ $current == -* ]] || ${assignment(first)}` : ''} ;;`;
}

function assignment({ choices, completes }: FlagWord | ArgumentWord): string {
  return completes === undefined ? `words='${(choices ?? []).join(' ')}'` : `kind=${completes}`;
}
