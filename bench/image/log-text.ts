/** Text as a server writes it: log lines over a small vocabulary. Compresses about as well as real logs do. */
import type { Keystream } from './keystream.ts';

const syllables = [
  'ba',
  'con',
  'di',
  'er',
  'fa',
  'gra',
  'hol',
  'in',
  'ju',
  'ken',
  'lo',
  'mi',
  'nor',
  'pra',
  'qui',
  'ste',
];
const vocabulary = 1500;
const levels = ['INFO', 'INFO', 'INFO', 'WARN', 'DEBUG', 'ERROR'];

/** Exactly `sizeBytes` bytes of log lines. */
export function logText(options: { readonly keystream: Keystream; readonly sizeBytes: number }): Buffer {
  const { keystream, sizeBytes } = options;
  const lines: string[] = [];
  let timeMs = Date.UTC(2026, 0, 1) + keystream.below(1_000_000_000);
  for (let length = 0; length < sizeBytes; ) {
    timeMs += keystream.below(5000);
    const words = Array.from({ length: 4 + keystream.below(8) }, () => word(keystream.below(vocabulary)));
    const head = `${new Date(timeMs).toISOString()} ${levels[keystream.below(levels.length)]} [${keystream.below(4096)}]`;
    const line = `${head} ${words.join(' ')} id=${keystream.below(2 ** 32).toString(16)} took=${keystream.below(900)}ms\n`;
    lines.push(line);
    length += line.length;
  }
  return Buffer.from(lines.join(''), 'latin1').subarray(0, sizeBytes);
}

function word(index: number): string {
  let rest = index;
  let text = '';
  do {
    text += syllables[rest % syllables.length];
    rest = Math.floor(rest / syllables.length);
  } while (rest > 0);
  return text;
}
