/** Bounded concurrency over a stream of jobs: the one way to run things side by side. */

export type LanesOptions<Job> = {
  readonly jobs: Iterable<Job> | AsyncIterable<Job>;
  /** How many run at once. */
  readonly lanes: number;
  readonly run: (job: Job, lane: number) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
};

/**
 * Runs every job, at most `lanes` at a time, pulling the next job only when a lane is free. The first failure (or abort)
 * stops the pulling; what is in flight is awaited before the promise rejects, so no work goes on behind the caller.
 */
export async function runLanes<Job>(options: LanesOptions<Job>): Promise<void> {
  const iterator = iteratorOf(options.jobs);
  let failure: { error: unknown } | undefined;
  let finished = false;
  // Async iterators may not be asked twice at once; lanes queue here.
  let turn: Promise<unknown> = Promise.resolve();
  const pull = (): Promise<IteratorResult<Job>> => {
    const result = turn.then(async () =>
      finished || failure ? ({ done: true, value: undefined } as const) : await iterator.next(),
    );
    turn = result.catch(() => undefined);
    return result;
  };
  const lane = async (index: number): Promise<void> => {
    try {
      for (;;) {
        options.signal?.throwIfAborted();
        const { done, value } = await pull();
        if (done) {
          finished = true;
          return;
        }
        await options.run(value, index);
      }
    } catch (error) {
      failure ??= { error };
    }
  };
  await Promise.all(Array.from({ length: options.lanes }, (_, index) => lane(index)));
  if (failure) {
    await iterator.return?.();
    throw failure.error;
  }
}

function iteratorOf<Job>(jobs: Iterable<Job> | AsyncIterable<Job>): Iterator<Job> | AsyncIterator<Job> {
  return Symbol.asyncIterator in jobs ? jobs[Symbol.asyncIterator]() : jobs[Symbol.iterator]();
}
