/** The tables that `bench/peers` prints. */
import { formatBytes, MiB } from '@holdfast/base';
import type { BenchImage } from '../image/build.ts';
import type { Contender } from './contender.ts';
import type { Judged } from './judgement.ts';
import type { Machine } from './machine.ts';
import type { Spread, Summary } from './summary.ts';
import { workTitle, works } from './works.ts';

export function machineLines(machine: Machine, image: BenchImage): readonly string[] {
  return [
    `${machine.cpu}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)} memory, scratch ${machine.scratch}`,
    `${machine.system}, Linux ${machine.kernel}, Node ${machine.node}`,
    ...Object.entries(machine.versions).map(([title, version]) => `${title}: ${version}`),
    `image: ${formatBytes(image.sizeBytes)} virtual, ${formatBytes(image.dataBytes)} data`,
  ];
}

/** One row per work and contender; times in seconds (median, min-max), memory and sizes in MiB. */
export function measuredTable(summaries: readonly Summary[], contenders: readonly Contender[]): readonly string[] {
  const rows: string[][] = [
    [
      'work',
      'who',
      'wall s',
      'min-max',
      'CPU s',
      'peak MiB',
      'read MiB',
      'from disk MiB',
      'put MiB',
      'stored MiB',
      'then sync s',
    ],
  ];
  for (const work of works) {
    for (const { id, title } of contenders) {
      const summary = summaries.find((candidate) => candidate.work === work && candidate.contender === id);
      if (summary === undefined) continue;
      rows.push([
        workTitle(work),
        title,
        seconds(summary.wallMs.median),
        `${seconds(summary.wallMs.min)}-${seconds(summary.wallMs.max)}`,
        seconds(summary.cpuMs.median),
        mebibytes(summary.peakBytes),
        mebibytes(summary.readBytes),
        mebibytes(summary.sourceReadBytes),
        mebibytes(summary.putBytes),
        mebibytes(summary.storedBytes),
        summary.syncMs === undefined ? '' : seconds(summary.syncMs.median),
      ]);
    }
  }
  return aligned(rows);
}

export function judgedTable(judged: readonly Judged[]): readonly string[] {
  const rows = judged.map(({ title, shown, value, limit, unit, verdict }) => [
    title,
    shown,
    value === undefined ? '' : unit === 'ms' ? `${value.toFixed(0)} ms` : `${value.toFixed(3)} x`,
    `<= ${limit} ${unit}`,
    verdict,
  ]);
  return aligned([['number', 'medians', 'value', 'limit', ''], ...rows]);
}

/** A Markdown table whose columns line up on a terminal too. */
export function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const [head = [], ...body] = rows;
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(line)];
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(2);
}

function mebibytes(spread: Spread | undefined): string {
  return spread === undefined ? '' : (spread.median / MiB).toFixed(spread.median < 10 * MiB ? 1 : 0);
}
