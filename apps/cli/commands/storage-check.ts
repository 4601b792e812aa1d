/** `holdfast storage check`: does a place keep the promises that a repository needs? */
import { HoldfastError } from '@holdfast/base';
import { checkStorage, type StorageCheckResult } from '@holdfast/storage/conformance';
import { storageOptions } from '../command/common-options.ts';
import { defineCommand } from '../command/specification.ts';
import { openStorage } from '../wiring/storage.ts';

export const command = defineCommand(
  {
    name: 'storage check',
    summary: 'Try whether a storage keeps its promises',
    details:
      'Writes, reads, lists and deletes scratch objects of its own; a repository that lies there is not touched.',
    arguments: {},
    options: storageOptions,
  },
  async ({ options, context }) => {
    const { output, clock, signal } = context;
    await using storage = await openStorage({ selection: options, context });
    const report = await checkStorage({
      store: storage.direct,
      clock,
      signal,
      onResult: (result) => output.event('check', checkFields(result), checkLine(result)),
    });
    const { passed, skipped, failed, capabilities, leftovers } = report;
    if (leftovers.length > 0) output.warn(`Scratch objects that could not be deleted: ${leftovers.join(', ')}`);
    output.result(
      { passed, skipped, failed, capabilities, leftovers },
      `${passed} kept, ${failed} broken, ${skipped} not claimed`,
    );
    if (failed === 0) return;
    const names = report.results.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
    throw new HoldfastError('storage_contract_broken', `${failed} promises are broken: ${names.join(', ')}.`, {
      remedy: 'Use another storage, or mount this one differently; a repository on it would not be safe.',
      facts: { checks: names },
    });
  },
);

function checkFields(result: StorageCheckResult): object {
  const { name, promise, outcome, durationMs } = result;
  return { name, promise, outcome, duration_ms: Math.round(durationMs), ...why(result) };
}

function checkLine(result: StorageCheckResult): string {
  const { detail } = why(result);
  const word = { passed: 'kept   ', skipped: 'skipped', failed: 'BROKEN ' }[result.outcome];
  return `${word}  ${result.promise}${detail === undefined ? '' : `\n         ${detail}`}`;
}

function why(result: StorageCheckResult): { readonly detail?: string } {
  switch (result.outcome) {
    case 'passed':
      return {};
    case 'skipped':
      return { detail: result.reason };
    case 'failed':
      return { detail: result.error instanceof Error ? result.error.message : String(result.error) };
    default:
      return result satisfies never;
  }
}
