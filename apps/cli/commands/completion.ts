/** `holdfast completion`: a script that teaches a shell our commands. */
import { defineCommand } from '../command/specification.ts';
import { loadCommands } from '../command/table.ts';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { zshCompletion } from '../completion/zsh.ts';

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export const command = defineCommand(
  {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    details:
      'bash: holdfast completion bash > /etc/bash_completion.d/holdfast\n' +
      'zsh:  holdfast completion zsh  > a directory of $fpath, as _holdfast\n' +
      'fish: holdfast completion fish > ~/.config/fish/completions/holdfast.fish',
    arguments: { shell: { required: true, choices: ['bash', 'zsh', 'fish'], summary: 'Which shell' } },
    options: {},
  },
  async ({ args, context }) => {
    const script = shells[args.shell](await loadCommands());
    context.output.result({ shell: args.shell, script }, script);
  },
);
