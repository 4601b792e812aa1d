/** Completion for bash, without the bash-completion package. */
import type { CommandSpecification } from '../command/specification.ts';
import { type ArgumentWord, commandWords, type FlagWord, firstWords, secondWords } from './words.ts';

export function bashCompletion(commands: readonly CommandSpecification[]): string {
  const groups = secondWords(commands);
  const names = commands.map(({ name }) => `"${name}"`).join(' | ');
  return `# bash completion for holdfast; made by: holdfast completion bash
_holdfast() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} words='' kind='' command
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '${[...firstWords(commands).keys()].join(' ')} --help --version' -- "$current"))
    return
  fi
  if ((COMP_CWORD == 2)); then
    case \${COMP_WORDS[1]} in
${[...groups].map(([group, members]) => `      ${group}) words='${members.map(({ name }) => name.slice(group.length + 1)).join(' ')}' ;;`).join('\n')}
    esac
    if [[ -n $words ]]; then
      COMPREPLY=($(compgen -W "$words" -- "$current"))
      return
    fi
  fi
  command="\${COMP_WORDS[1]} \${COMP_WORDS[2]}"
  case $command in
    ${names}) ;;
    *) command=\${COMP_WORDS[1]} ;;
  esac
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
