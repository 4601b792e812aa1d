/** Signals of the system as an AbortSignal. */
import { HoldfastError } from '@holdfast/base';

type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/**
 * Aborted with `interrupted` by the first SIGINT, SIGTERM or SIGHUP, so that everything ends in good order; a further
 * SIGINT calls `exit` at once.
 */
export function interruptSignal(options: {
  readonly process: { on(name: SignalName, listener: () => void): unknown };
  readonly exit: () => void;
}): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    options.process.on(name, () => {
      if (controller.signal.aborted && name === 'SIGINT') options.exit();
      controller.abort(new HoldfastError('interrupted', `${name} was received.`));
    });
  }
  return controller.signal;
}
