/**
 * The `holdfast` command. The only place that reads arguments and environment, listens for signals and ends the process.
 * Modules are loaded when they are needed: `--version` loads nothing but this file.
 */
import { readFileSync } from 'node:fs';
import { enableCompileCache, registerHooks } from 'node:module';

// bin/holdfast names a cache from outside, which covers this file too; this is for whoever starts node directly.
if (process.env['XDG_CACHE_HOME'] || process.env['HOME']) {
  enableCompileCache(`${process.env['XDG_CACHE_HOME'] || `${process.env['HOME']}/.cache`}/holdfast/compile`);
}

// zod's index brings its messages in 50 languages: half of the time it takes to load (17 of 35 ms as measured).
registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === '../locales/index.js' ? '../locales/en.js' : specifier, context),
});

const [, , ...words] = process.argv;

if (words[0] === '--version' || words[0] === '-V') {
  const { version }: { version: string } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8'));
  process.stdout.write(
    words.includes('--json') ? `${JSON.stringify({ type: 'result', version })}\n` : `holdfast ${version}\n`,
  );
} else {
  const [{ runProgram }, { interruptSignal }] = await Promise.all([
    import('./program.ts'),
    import('./wiring/interrupt.ts'),
  ]);
  process.exitCode = await runProgram({
    words,
    environment: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: interruptSignal({ process, exit: () => process.exit(130) }),
  });
  // What is still on its way into a pipe has to arrive: a pipe takes 64 KiB at a time, a listing may have megabytes.
  await Promise.all([process.stdout, process.stderr].map(flushed));
  // Whatever a library still holds open must not keep a finished command from ending.
  process.exit();
}

/** Also when nobody reads any more: a write to a closed pipe answers at once. */
async function flushed(stream: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
}
