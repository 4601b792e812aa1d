/** Beginnings of ids that are long enough to name them. */

/**
 * The first twelve digits of an id are the millisecond in which it was made, so a beginning of that length names one
 * point also beyond those that are listed.
 */
const leastLength = 'bkp_'.length + 12;

/** By whole id; each beginning is of one id only. */
export function shortPointIds(ids: readonly string[]): ReadonlyMap<string, string> {
  const sorted = ids.toSorted();
  return new Map(
    sorted.map((id, index) => {
      const length = Math.max(
        leastLength,
        sharedLength(id, sorted[index - 1] ?? '') + 1,
        sharedLength(id, sorted[index + 1] ?? '') + 1,
      );
      return [id, id.slice(0, length)];
    }),
  );
}

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}
