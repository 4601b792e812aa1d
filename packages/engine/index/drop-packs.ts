/** Takes packs that are about to be deleted out of the index: their runs are written anew without them. */
import { hasCode } from '@holdfast/base';
import { damageFrom } from './damage.ts';
import { readRunHead } from './run-head.ts';
import { packRecordBytes } from './run-layout.ts';
import { defaultMergeBudgetEntries, entriesOf, type MergeRunsRequest, rewriteRuns } from './merge-runs.ts';
import { isRunName } from './run-name.ts';
import { scanPacks } from './run-scan.ts';

/**
 * Entries that stay, because the budget is spent or their run cannot be read, do no harm: whoever meets one looks
 * whether the pack is there.
 * @throws storage errors of writing, and the abort reason; each run is then as it was, or rewritten
 */
export async function dropPacks(
  request: Omit<MergeRunsRequest, 'excludedPacks'> & { readonly packs: ReadonlySet<string> },
): Promise<void> {
  const { store, prefix, signal } = request;
  let budget = request.budgetEntries ?? defaultMergeBudgetEntries;
  for (const run of await Array.fromAsync(store.list(prefix, { signal }))) {
    if (!isRunName(run.key.slice(prefix.length)) || entriesOf(run) > budget) continue;
    if (!(await namesAny({ ...request, run }))) continue;
    for (const key of await rewrittenRuns(request, run)) await store.delete(key, { signal });
    budget -= entriesOf(run);
  }
}

/** The keys of what was written anew: the run's, unless it could not be read or went while it was. */
async function rewrittenRuns(
  request: Parameters<typeof dropPacks>[0],
  run: { readonly key: string; readonly sizeBytes: number },
): Promise<Iterable<string>> {
  try {
    return await rewriteRuns({ ...request, excludedPacks: request.packs }, [run]);
  } catch (error) {
    // Another session has merged it with others meanwhile.
    if (!hasCode(error, 'object_not_found')) throw error;
    return [];
  }
}

async function namesAny(
  request: Parameters<typeof dropPacks>[0] & { readonly run: { readonly key: string; readonly sizeBytes: number } },
): Promise<boolean> {
  const { store, packs, run, signal, onDamage = () => undefined } = request;
  try {
    const { layout } = await readRunHead({ store, ...run, signal });
    for await (const { records } of scanPacks({ store, key: run.key, layout, onDamage, signal })) {
      for (let at = 0; at < records.length; at += packRecordBytes) {
        if (packs.has(records.toString('hex', at, at + 32))) return true;
      }
    }
  } catch (error) {
    signal?.throwIfAborted();
    onDamage(damageFrom(run.key, error));
  }
  return false;
}
