import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, errorCatalogue } from './catalogue.ts';
import { HoldfastError, hasCode, systemErrorCode } from './holdfast-error.ts';
import { toProblem } from './problem.ts';

test('every code is snake_case, and its texts are fit to be shown', () => {
  for (const [code, entry] of Object.entries(errorCatalogue)) {
    assert.match(code, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
    assert.match(entry.title, /^[A-Z].*[^.]$/, code);
    assert.match(entry.remedy, /^\S.*\.$/, code);
    assert.ok(entry.status >= 400 && entry.status < 600, code);
  }
});

test('an error of ours becomes its own problem', () => {
  for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
    const problem = toProblem(new HoldfastError(code, 'What happened.', { facts: { size_bytes: 3 } }));
    const { status, title, remedy, retry } = errorCatalogue[code];
    assert.deepEqual(problem, {
      type: `https://holdfast.invalid/errors/${code}`,
      title,
      status,
      code,
      detail: 'What happened.',
      retryable: retry === 'later',
      remedy,
      facts: { size_bytes: 3 },
    });
  }
});

test('the place that throws may know a better remedy; without facts there are none', () => {
  const problem = toProblem(new HoldfastError('usage', 'No.', { remedy: 'Do that.' }));
  assert.equal(problem.remedy, 'Do that.');
  assert.ok(!('facts' in problem));
});

test('fields, ways on and the time to wait are there when the place that throws knows them', () => {
  const known = {
    errors: [{ pointer: '/body/email', message: 'No address.' }],
    remedies: [{ action: 'log_in', href: '/api/v1/session', method: 'POST' }],
  };
  const problem = toProblem(new HoldfastError('usage', 'No.', { ...known, retryAfterS: 7 }));
  const { errors, remedies, retry_after_s } = problem;
  assert.deepEqual({ errors, remedies, retry_after_s }, { ...known, retry_after_s: 7 });
});

test('whatever else is thrown becomes internal', () => {
  for (const thrown of [new TypeError('broken'), 'text', undefined, null, 7, {}]) {
    assert.equal(toProblem(thrown).code, 'internal');
  }
  assert.equal(toProblem(new TypeError('broken')).detail, 'broken');
});

test('the cause is kept, the exit code comes from the catalogue', () => {
  const cause = Object.assign(new Error('no space'), { code: 'ENOSPC' });
  const error = new HoldfastError('storage_full', 'Full.', { cause });
  assert.equal(error.cause, cause);
  assert.equal(systemErrorCode(error.cause), 'ENOSPC');
  assert.equal(error.exitCode, 1);
  assert.equal(new HoldfastError('usage', 'x').exitCode, 2);
  assert.equal(new HoldfastError('interrupted', 'x').exitCode, 130);
  assert.ok(hasCode(error, 'usage', 'storage_full') && !hasCode(cause, 'storage_full'));
  assert.equal(systemErrorCode(new Error('plain')), undefined);
});
