/** Which of the tasks that wait may run now, as a pure rule: none of their capacities is ever taken more often than it has slots. */

export type Candidate = { readonly capacityKeys: readonly string[] };

export type Capacity = { readonly slots: number; readonly used: number };

/**
 * The first `limit` of the candidates that fit, in their order. One that does not fit does not hold up the next: they wait
 * for different things. A key without a capacity is without limit.
 */
export function chooseWithin<Task extends Candidate>(request: {
  readonly candidates: readonly Task[];
  readonly capacities: ReadonlyMap<string, Capacity>;
  readonly limit: number;
}): readonly Task[] {
  const { candidates, capacities, limit } = request;
  const free = new Map([...capacities].map(([key, { slots, used }]) => [key, slots - used]));
  const chosen: Task[] = [];
  for (const task of candidates) {
    if (chosen.length === limit) break;
    const keys = new Set(task.capacityKeys);
    if ([...keys].some((key) => (free.get(key) ?? Number.POSITIVE_INFINITY) <= 0)) continue;
    for (const key of keys) free.set(key, (free.get(key) ?? Number.POSITIVE_INFINITY) - 1);
    chosen.push(task);
  }
  return chosen;
}
