/** Asking the person at the terminal for a secret, which must not be seen. */
import type { ReadStream } from 'node:tty';
import { HoldfastError } from '@holdfast/base';

export interface Prompt {
  /** One line without its end; nothing of it is shown. @throws interrupted on Ctrl-C, Ctrl-D and abort */
  secret(question: string, signal: AbortSignal): Promise<string>;
}

/** @param output where the question goes: stderr, as stdout holds results */
export function terminalPrompt(input: ReadStream, output: { write(text: string): unknown }): Prompt {
  return { secret: (question, signal) => askSecret({ input, output, question, signal }) };
}

async function askSecret(request: {
  readonly input: ReadStream;
  readonly output: { write(text: string): unknown };
  readonly question: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { input, output, question, signal } = request;
  signal.throwIfAborted();
  output.write(question);
  // Raw: the terminal echoes nothing and leaves editing, and Ctrl-C, to us.
  input.setRawMode(true);
  input.setEncoding('utf8');
  try {
    return await readLine(input, signal);
  } finally {
    input.setRawMode(false);
    input.pause();
    output.write('\n');
  }
}

function readLine(input: ReadStream, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const typed: string[] = [];
    const end = (settle: () => void): void => {
      input.off('data', onData);
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = (): void => end(() => reject(signal.reason));
    const onData = (text: string): void => {
      for (const character of text) {
        switch (character) {
          case '\r':
          case '\n':
            return end(() => resolve(typed.join('')));
          case '\u0003':
          case '\u0004':
            return end(() => reject(new HoldfastError('interrupted', 'The question was not answered.')));
          case '\u007f':
          case '\b':
            typed.pop();
            break;
          case '\u0015':
            typed.length = 0;
            break;
          default:
            if (character >= ' ') typed.push(character);
        }
      }
    };
    input.on('data', onData);
    signal.addEventListener('abort', onAbort, { once: true });
    input.resume();
  });
}
