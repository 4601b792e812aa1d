/** What the server says on stdout: lines for people, or with --json one object a line. Its log goes to stderr. */
import { type Problem, toProblem } from '@holdfast/base';

export interface Voice {
  /** @param text for people; empty says nothing to them */
  say(type: string, fields: object, text: string): void;
  problem(error: unknown): void;
}

export type Streams = {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
};

export function createVoice({ stdout, stderr, isJson }: Streams & { readonly isJson: boolean }): Voice {
  const write = (fields: object): void => {
    stdout.write(`${JSON.stringify(fields)}\n`);
  };
  return {
    say(type, fields, text) {
      if (isJson) write({ type, ...fields });
      else if (text !== '') stdout.write(`${text}\n`);
    },
    problem(error) {
      const problem: Problem = toProblem(error);
      const { title, detail, remedy, code } = problem;
      stderr.write(`holdfast: ${title}: ${detail}\nremedy: ${remedy}\ncode: ${code}\n`);
      if (isJson) write({ ...problem, uri: problem.type, type: 'problem' });
    },
  };
}
