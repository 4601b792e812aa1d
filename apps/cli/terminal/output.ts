/**
 * Everything a command says. Results go to stdout, what is about the run (warnings, progress, problems) to stderr; with
 * --json stdout holds one object a line and nothing else, the last one the result or the problem.
 */
import type { Clock, Problem } from '@holdfast/base';
import { type Progress, type ProgressSink, startProgress } from './progress.ts';

export interface Output {
  readonly isJson: boolean;
  /** The command's result; the last thing it prints. @param text lines for people, in place of `fields` */
  result(fields: object, text: string): void;
  /** Something that a script may wait for, before the result. */
  event(type: string, fields: object, text: string): void;
  /** Sentences for people; scripts find them in the result. */
  warn(text: string): void;
  progress(title: string): Progress;
  /** @param trace printed below it when somebody looks for a bug */
  problem(problem: Problem, trace?: string): void;
}

export type TerminalStream = {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
};

export function createOutput(options: {
  readonly json: boolean;
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly clock: Clock;
}): Output {
  const { json, stdout, stderr, clock } = options;
  /** The progress line that stands on the terminal and has no newline yet. */
  let drawn = '';
  const clear = (): void => {
    if (drawn !== '') stderr.write('\r\u001b[K');
    drawn = '';
  };
  const writeJson = (content: object): void => {
    stdout.write(`${JSON.stringify(content)}\n`);
  };
  const writeError = (text: string): void => {
    const line = drawn;
    clear();
    stderr.write(`${text}\n`);
    drawn = line;
    stderr.write(drawn);
  };
  const terminal: ProgressSink = {
    kind: 'terminal',
    draw: (line) => {
      clear();
      // A terminal without a size says 0.
      drawn = line.slice(0, Math.max(20, (stderr.columns || 80) - 1));
      stderr.write(drawn);
    },
    keep: () => {
      stderr.write('\n');
      drawn = '';
    },
  };
  const quiet: ProgressSink = stderr.isTTY === true ? terminal : { kind: 'none' };
  const sink: ProgressSink = json ? { kind: 'json', write: writeJson } : quiet;
  return {
    isJson: json,
    result(fields, text) {
      if (json) writeJson({ type: 'result', ...fields });
      else if (text !== '') stdout.write(`${text}\n`);
    },
    event(type, fields, text) {
      if (json) writeJson({ type, ...fields });
      else stdout.write(`${text}\n`);
    },
    warn: (text) => writeError(`holdfast: warning: ${text}`),
    progress: (title) => startProgress({ sink, title, clock }),
    problem(problem, trace) {
      const { title, detail, remedy, code } = problem;
      writeError(
        [`holdfast: ${title}: ${detail}`, `remedy: ${remedy}`, `code: ${code}`, ...(trace ? [trace] : [])].join('\n'),
      );
      if (json) writeJson({ ...problem, uri: problem.type, type: 'problem' });
    },
  };
}
