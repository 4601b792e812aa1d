/** QMP over the standard streams of a process that we started: one JSON object a line in both directions. */
import type { Readable, Writable } from 'node:stream';
import { HoldfastError } from '@holdfast/base';

export type QmpReply =
  | { readonly ok: true; readonly value: unknown }
  /** QEMU refused; `text` is its message. */
  | { readonly ok: false; readonly text: string };

/** A line longer than this is not QMP. */
const MAX_LINE_CHARACTERS = 16 * 1024 * 1024;

export class QmpSession {
  readonly #input: Writable;
  /** Replies come in the order of the commands. */
  readonly #waiting: { resolve: (reply: QmpReply) => void; reject: (error: unknown) => void }[] = [];
  #failure: { readonly error: unknown } | undefined;
  #rest = '';

  constructor(streams: { readonly input: Writable; readonly output: Readable }) {
    this.#input = streams.input;
    // A process that ends takes its pipe away; `fail` reports that with its reason.
    this.#input.on('error', () => undefined);
    streams.output.setEncoding('utf8').on('data', (text: string) => this.#received(text));
    void this.execute('qmp_capabilities').catch(() => undefined);
  }

  /** Commands may be sent without waiting for the answers before. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<QmpReply> {
    if (this.#failure) throw this.#failure.error;
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#input.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  /** Rejects everything that waits and everything that comes later. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure.error);
  }

  #received(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > MAX_LINE_CHARACTERS) this.fail(new HoldfastError('qemu_failed', 'an endless line of QMP'));
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    let message: unknown;
    try {
      message = JSON.parse(line);
    } catch (error) {
      this.fail(new HoldfastError('qemu_failed', `QMP said ${JSON.stringify(line.slice(0, 200))}`, { cause: error }));
      return;
    }
    if (typeof message !== 'object' || message === null) return;
    // Greeting and events answer nothing.
    if ('return' in message) this.#waiting.shift()?.resolve({ ok: true, value: message.return });
    else if ('error' in message) this.#waiting.shift()?.resolve({ ok: false, text: errorText(message.error) });
  }
}

function errorText(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'desc' in error) return String(error.desc);
  return JSON.stringify(error);
}
