/** Runs a program of the test bed to its end. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const runFile = promisify(execFile);

/** Room for the journals' report and for a domain's XML. */
const OUTPUT_LIMIT_BYTES = 16 * 1024 * 1024;

export type ProgramRun = {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
};

/** Its standard output. @throws Error that holds what the program said on stderr */
export async function runProgram({ program, args, environment }: ProgramRun): Promise<string> {
  const env = { ...process.env, LC_ALL: 'C', ...environment };
  const { stdout } = await runFile(program, args, { env, maxBuffer: OUTPUT_LIMIT_BYTES });
  return stdout;
}
