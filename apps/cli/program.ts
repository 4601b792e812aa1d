/** One run of the command, given its words: finds the command, runs it, reports what went wrong. Answers the exit code. */
import { inspect } from 'node:util';
import type { ReadStream } from 'node:tty';
import { HoldfastError, systemClock, systemErrorCode, toProblem } from '@holdfast/base';
import { commandHelp, generalHelp } from './command/help.ts';
import type { Context } from './command/invocation.ts';
import { parseWords } from './command/parse.ts';
import type { Command } from './command/specification.ts';
import { findCommand, loadCommands } from './command/table.ts';
import { createOutput, type Output, type TerminalStream } from './terminal/output.ts';
import { terminalPrompt } from './terminal/prompt.ts';

export type ProgramOptions = {
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stdin: ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly signal: AbortSignal;
};

export async function runProgram(options: ProgramOptions): Promise<number> {
  const { words, environment, stdin, stdout, stderr, signal } = options;
  const output = createOutput({
    json: words.includes('--json'),
    stdout: quietOnceClosed(stdout),
    stderr: quietOnceClosed(stderr),
    clock: systemClock,
  });
  const prompt = stdin.isTTY && stderr.isTTY ? terminalPrompt(stdin, stderr) : undefined;
  try {
    await dispatch(words, { output, prompt, environment, clock: systemClock, signal });
    return 0;
  } catch (error) {
    return report({ error, output, signal, debug: environment['HOLDFAST_DEBUG'] === '1' });
  }
}

async function dispatch(words: readonly string[], context: Context): Promise<void> {
  const { output } = context;
  const found = findCommand(words);
  if (!found) return await helpOrRefuse(words, output);
  const command = await found.load();
  const parsed = parseWords(command, found.words);
  if (parsed.kind === 'help') output.result({ help: parsed.text }, parsed.text.trimEnd());
  else await command.run({ args: parsed.args, options: parsed.options, context });
}

/** @throws usage unless help was asked for */
async function helpOrRefuse(words: readonly string[], output: Output): Promise<void> {
  const named = words.filter((word) => !word.startsWith('-') && word !== 'help');
  const asked = words.some((word) => word === '--help' || word === '-h' || word === 'help');
  const { group, commands } = await findGroup(named);
  if (asked && (named.length === 0 || commands.length > 0)) {
    const help = commands.length > 0 ? commandHelp(commands) : generalHelp(await loadCommands());
    output.result({ help }, help);
    return;
  }
  const known = commands.map(({ name }) => name).join(', ');
  const unknown = `There is no command "${named.slice(0, group.length + 1).join(' ')}".`;
  throw new HoldfastError('usage', named.length === 0 ? 'No command was named.' : unknown, {
    remedy: known === '' ? 'holdfast --help lists the commands.' : `There are ${known}.`,
  });
}

/** The longest beginning of these words that commands begin with: `volume snapshot`, `repo`. */
async function findGroup(named: readonly string[]): Promise<{
  readonly group: readonly string[];
  readonly commands: readonly Command[];
}> {
  for (const length of [2, 1]) {
    const group = named.slice(0, length);
    const commands = group.length === length ? await loadCommands(group.join(' ')) : [];
    if (commands.length > 0) return { group, commands };
  }
  return { group: [], commands: [] };
}

function report(failure: {
  readonly error: unknown;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly debug: boolean;
}): number {
  const { output, signal, debug } = failure;
  // Whatever fails after an interrupt fails because of it: streams break off, processes of QEMU end.
  const error = signal.aborted ? interruptedBy(signal.reason, failure.error) : failure.error;
  output.problem(toProblem(error), debug ? inspect(error, { depth: 8 }) : undefined);
  return error instanceof HoldfastError ? error.exitCode : 1;
}

function interruptedBy(reason: unknown, error: unknown): unknown {
  if (!(reason instanceof HoldfastError) || error === reason) return reason;
  return new HoldfastError(reason.code, reason.message, { cause: error });
}

/** A reader that went away (`| head`) is no failure of ours: what is left to say is dropped, the work goes on. */
function quietOnceClosed(stream: NodeJS.WriteStream): TerminalStream {
  let closed = false;
  stream.on('error', (error) => {
    if (systemErrorCode(error) !== 'EPIPE') throw error;
    closed = true;
  });
  return {
    isTTY: stream.isTTY,
    get columns() {
      return stream.columns;
    },
    write: (text) => closed || stream.write(text),
  };
}
