import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { runLanes } from './lanes.ts';

const input = fc.record({ jobs: fc.array(fc.nat(3), { maxLength: 30 }), lanes: fc.integer({ min: 1, max: 8 }) });

/** Takes as many turns of the event loop as it is told. */
async function work(turns: number): Promise<void> {
  for (let done = 0; done < turns; done += 1) await turn();
}

async function* asAsync<Job>(jobs: readonly Job[]): AsyncGenerator<Job> {
  for (const job of jobs) {
    await Promise.resolve();
    yield job;
  }
}

test('every job runs once, in order of beginning, never more at once than lanes, each lane one', async () => {
  const property = fc.asyncProperty(input, fc.boolean(), async ({ jobs, lanes }, isAsync) => {
    const begun: number[] = [];
    const busy = new Set<number>();
    let most = 0;
    const numbered = [...jobs.entries()];
    await runLanes({
      jobs: isAsync ? asAsync(numbered) : numbered,
      lanes,
      run: async ([index, turns], lane) => {
        assert.ok(!busy.has(lane) && lane < lanes);
        busy.add(lane);
        begun.push(index);
        most = Math.max(most, busy.size);
        await work(turns);
        busy.delete(lane);
      },
    });
    assert.equal(busy.size, 0, 'all have ended');
    assert.deepEqual(
      begun,
      numbered.map(([index]) => index),
    );
    assert.ok(most <= lanes);
  });
  await fc.assert(property, { numRuns: 100 });
});

test('the first failure stops the pulling, waits for what runs, and closes the jobs', async () => {
  const failure = new Error('job 3');
  let running = 0;
  let pulled = 0;
  let isClosed = false;
  async function* endless(): AsyncGenerator<number> {
    try {
      for (;;) yield pulled++;
    } finally {
      isClosed = true;
    }
  }
  const run = async (job: number): Promise<void> => {
    running += 1;
    await work(job === 3 ? 1 : 20);
    running -= 1;
    if (job === 3) throw failure;
    if (job > 3) throw new Error('a later failure');
  };
  await assert.rejects(runLanes({ jobs: endless(), lanes: 4, run }), failure);
  assert.equal(running, 0);
  assert.ok(isClosed);
  assert.ok(pulled <= 8, `${pulled} were pulled`);
});

test('an abort rejects with its reason once what runs has ended', async () => {
  const stop = new AbortController();
  const reason = new Error('stop');
  let running = 0;
  const run = async (job: number): Promise<void> => {
    running += 1;
    if (job === 5) stop.abort(reason);
    await work(3);
    running -= 1;
  };
  const jobs = Array.from({ length: 100 }, (_, index) => index);
  await assert.rejects(runLanes({ jobs, lanes: 3, run, signal: stop.signal }), reason);
  assert.equal(running, 0);
  const aborted = AbortSignal.abort(reason);
  await assert.rejects(runLanes({ jobs, lanes: 3, signal: aborted, run: async () => assert.fail('ran') }), reason);
});

test('jobs that fail to come fail the run', async () => {
  const failure = new Error('no more');
  async function* breaking(): AsyncGenerator<number> {
    yield 1;
    throw failure;
  }
  let ran = 0;
  const run = async (): Promise<void> => {
    ran += 1;
  };
  await assert.rejects(runLanes({ jobs: breaking(), lanes: 3, run }), failure);
  assert.equal(ran, 1);
});
