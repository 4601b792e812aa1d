/**
 * `holdfast server`. The only place of the server that reads arguments and environment, listens for signals and ends the
 * process.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { HoldfastError } from '@holdfast/base';

// zod's index brings its messages in 50 languages: half of the time it takes to load.
registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === '../locales/index.js' ? '../locales/en.js' : specifier, context),
});

const controller = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (controller.signal.aborted && name === 'SIGINT') process.exit(130);
    controller.abort(new HoldfastError('interrupted', `${name} was received.`));
  });
}
const { version }: { version: string } = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8'));
const { runProgram } = await import('./program.ts');
process.exitCode = await runProgram({
  words: process.argv.slice(2),
  environment: process.env,
  isRoot: process.getuid?.() === 0,
  version,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: controller.signal,
});
