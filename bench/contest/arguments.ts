/** The command line of `bench/peers`. */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Contender } from './contender.ts';
import { borgLz4, borgZstd } from './contenders/borg.ts';
import { holdfast, holdfastEncrypted } from './contenders/holdfast.ts';
import { limit } from './contenders/limit.ts';
import { qemuImg } from './contenders/qemu-img.ts';
import { restic } from './contenders/restic.ts';

const contenders: readonly Contender[] = [holdfast, holdfastEncrypted, restic, borgZstd, borgLz4, qemuImg, limit];

export const usage = `usage: bench/peers [--rounds 3] [--only NAME,...] [--json FILE] [--cache DIR] [--no-judge]
  --only      some of: ${contenders.map(({ id }) => id).join(', ')}
  --json      where the figures go, default DIR/peers.json
  --cache     for the image (14 GiB, kept) and the repositories (10 GiB, removed), default .cache/bench
  --no-judge  exit 0 also when a number is missed`;

export type ContestOptions = {
  readonly rounds: number;
  readonly chosen: readonly Contender[];
  /** Path of the JSON output. */
  readonly json: string;
  readonly cacheDir: string;
  /** Whether a missed number is a failure. */
  readonly judged: boolean;
};

export type Parsed =
  | { readonly kind: 'compare'; readonly options: ContestOptions }
  | { readonly kind: 'help' }
  | { readonly kind: 'wrong'; readonly reason: string };

export function parseArguments(args: readonly string[]): Parsed {
  try {
    return parse(args);
  } catch (error) {
    return { kind: 'wrong', reason: error instanceof Error ? error.message : String(error) };
  }
}

function parse(args: readonly string[]): Parsed {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: contenders.map(({ id }) => id).join(',') },
      json: { type: 'string' },
      cache: { type: 'string', default: join(import.meta.dirname, '../../.cache/bench') },
      'no-judge': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return { kind: 'help' };
  const names = values.only.split(',');
  const unknown = names.find((name) => !contenders.some(({ id }) => id === name));
  if (unknown !== undefined) return { kind: 'wrong', reason: `unknown name ${unknown}` };
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) return { kind: 'wrong', reason: '--rounds must be a positive number' };
  const cacheDir = resolve(values.cache);
  return {
    kind: 'compare',
    options: {
      rounds,
      chosen: contenders.filter(({ id }) => names.includes(id)),
      json: resolve(values.json ?? join(cacheDir, 'peers.json')),
      cacheDir,
      judged: !values['no-judge'],
    },
  };
}
