/**
 * Counts what happens in folders while a command works there: each file that is made, written, moved or deleted. So a
 * command can be killed in the milliseconds in which it changes something, which a timer would hardly ever hit.
 */
import { type FSWatcher, watch } from 'node:fs';

export class ChangeCounter implements Disposable {
  readonly #watchers: readonly FSWatcher[];
  #count = 0;
  #target = Number.POSITIVE_INFINITY;
  #act: (() => void) | undefined;

  constructor(directories: readonly string[]) {
    this.#watchers = directories.map((directory) =>
      watch(directory, { recursive: true }, () => this.#note()).on('error', () => {
        // A folder that went before it could be watched: what happens in it is not counted.
      }),
    );
  }

  get count(): number {
    return this.#count;
  }

  /** Calls once this many changes were seen. */
  onReaching(count: number, act: () => void): void {
    this.#target = count;
    this.#act = act;
  }

  #note(): void {
    this.#count += 1;
    if (this.#count === this.#target) this.#act?.();
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watchers) watcher.close();
  }
}
