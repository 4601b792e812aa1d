/** Help that is about more than one command; that of a single one is worded by the parser. */
import type { CommandSpecification } from './specification.ts';

const head = `Usage: holdfast COMMAND --storage URL [options]

Protects disks of virtual machines: backs them up, brings them back, proves them.
`;

const foot = `holdfast server runs the server with its API; holdfast server --help tells its settings.
holdfast COMMAND --help explains a command. Each takes --json: one JSON object a line, the last one is the result.
Exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted.
Environment: HOLDFAST_PASSPHRASE, HOLDFAST_NEW_PASSPHRASE (key add, rotate), HOLDFAST_TO_PASSPHRASE (copy),
  HOLDFAST_DEBUG=1 (trace of a failure).`;

export function generalHelp(commands: readonly CommandSpecification[]): string {
  return `${head}\n${commandLines(commands)}\n  --version               Print the version\n\n${foot}`;
}

/** Of a group: `holdfast repo --help`. */
export function commandHelp(commands: readonly CommandSpecification[]): string {
  return `Commands:\n${commandLines(commands)}`;
}

function commandLines(commands: readonly CommandSpecification[]): string {
  const width = Math.max(15, ...commands.map(({ name }) => name.length));
  return commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n');
}
