import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GRACE_MS, IDLE_LIMIT_MS, judge, SILENT_LIMIT_MS } from './stall-rule.ts';

const moments = fc.nat({ max: 4 * IDLE_LIMIT_MS });

test('a worker that is heard and gets on is never taken anything from', () => {
  fc.assert(
    fc.property(moments, fc.option(moments, { nil: undefined }), (nowMs, stalledMs) => {
      const signs = {
        nowMs,
        heartbeatMs: nowMs - SILENT_LIMIT_MS + 1,
        progressMs: nowMs - IDLE_LIMIT_MS + 1,
        stalledMs,
      };
      assert.equal(judge(signs), 'alive');
    }),
  );
});

test('nothing is lost that was not stalled for the whole grace', () => {
  fc.assert(
    fc.property(
      moments,
      moments,
      moments,
      fc.option(moments, { nil: undefined }),
      (nowMs, heartbeatMs, progressMs, stalledMs) => {
        const verdict = judge({ nowMs, heartbeatMs, progressMs, stalledMs });
        if (verdict === 'lost') assert.ok(stalledMs !== undefined && nowMs - stalledMs >= GRACE_MS);
      },
    ),
  );
});

test('silence of ten minutes, and two hours without progress, are a stall', () => {
  const nowMs = 10 * IDLE_LIMIT_MS;
  const well = { nowMs, heartbeatMs: nowMs, progressMs: nowMs, stalledMs: undefined };
  assert.equal(judge({ ...well, heartbeatMs: nowMs - 600_000 }), 'stalled');
  assert.equal(judge({ ...well, progressMs: nowMs - 7_200_000 }), 'stalled');
  assert.equal(judge({ ...well, heartbeatMs: nowMs - 600_000, stalledMs: nowMs - 300_000 }), 'lost');
});
