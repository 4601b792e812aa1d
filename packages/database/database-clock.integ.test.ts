import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '@holdfast/base';
import { type DatabaseServer, startDatabaseServer } from '@holdfast/testing/database';
import { openDatabaseClock } from './database-clock.ts';

let server: DatabaseServer;
before(async () => {
  server = await startDatabaseServer();
});
after(() => server[Symbol.asyncDispose]());

test('a server whose own clock is wrong by hours goes by the clock of the database', async () => {
  await using database = await server.makeDatabase();
  const wrong: Clock = { nowMs: () => Date.now() + 5 * 3_600_000, monotonicMs: () => performance.now() + 77_777 };
  using clock = await openDatabaseClock({ db: database.db, clock: wrong });
  assert.ok(Math.abs(clock.nowMs() - Date.now()) < 500, `${clock.nowMs() - Date.now()}`);
});

test('between two questions it goes on with the clock of the process', async () => {
  await using database = await server.makeDatabase();
  let elapsedMs = 0;
  using clock = await openDatabaseClock({ db: database.db, clock: { ...systemClock, monotonicMs: () => elapsedMs } });
  const beforeMs = clock.nowMs();
  elapsedMs += 1234;
  assert.equal(clock.nowMs() - beforeMs, 1234);
  await clock.synchronize();
  assert.ok(Math.abs(clock.nowMs() - Date.now()) < 500);
});
