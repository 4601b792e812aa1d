/** Runs a program to its end; what it printed comes back, or is in the error. */
import { execFile } from 'node:child_process';

export type Command = {
  readonly program: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  readonly environment?: Readonly<Record<string, string>>;
};

export type CommandResult = { readonly stdout: string; readonly stderr: string; readonly seconds: number };

/** @throws Error whose message holds the command and all it printed; the signal's reason when aborted. */
export function runCommand({ program, args, signal, environment }: Command): Promise<CommandResult> {
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const options = { signal, maxBuffer: 64 * 1024 * 1024, env: { ...process.env, ...environment } };
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (signal.aborted) return reject(signal.reason);
      if (!error) return resolve({ stdout, stderr, seconds: (performance.now() - startedMs) / 1000 });
      const how = typeof error.code === 'number' ? `exit code ${error.code}` : (error.signal ?? error.message);
      reject(new Error(`${[program, ...args].join(' ')}: ${how}\n${stdout}${stderr}`.trimEnd()));
    });
  });
}
