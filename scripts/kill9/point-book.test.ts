import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BrokenPromise, PointBook, Possible } from './point-book.ts';

const disks = new Map([['vda', { sizeBytes: 1, sha256: '0' }]]);
const seen = { id: 'bkp_1', label: 'one', resource: 'volumes/a', state: 'available' } as const;

function bookWithPoint() {
  const book = new PointBook();
  const record = book.expect({ label: 'one', resource: 'volumes/a', disks });
  const possible = new Possible();
  possible.must(record, 'available');
  book.learn([seen], possible);
  return { book, record };
}

test('a point that was seen has to stay, until something may have taken it', () => {
  const { book, record } = bookWithPoint();
  book.learn([seen], new Possible());
  assert.throws(() => book.learn([], new Possible()), BrokenPromise);
  assert.throws(() => book.learn([{ ...seen, state: 'trashed' }], new Possible()), BrokenPromise);
  const possible = new Possible();
  possible.may(record, 'trashed');
  possible.may(record, 'gone');
  book.learn([], possible);
  assert.deepEqual(book.all('gone'), [record]);
  assert.throws(() => book.learn([seen], new Possible()), /must be gone/);
});

test('a killed backup may have made its point; one that failed has not', () => {
  const book = new PointBook();
  const record = book.expect({ label: 'one', resource: 'volumes/a', disks });
  assert.throws(() => book.learn([seen], new Possible()), /must be absent/);
  const possible = new Possible();
  possible.may(record, 'available');
  book.learn([], possible);
  assert.equal(record.state, 'absent');
  book.learn([seen], possible);
  assert.deepEqual([record.state, book.withId('bkp_1')], ['available', record]);
});

test('points that nobody made, that come twice, or under another id are told', () => {
  const { book } = bookWithPoint();
  assert.throws(() => book.learn([seen, { ...seen, id: 'bkp_2', label: 'two' }], new Possible()), /Nobody has made/);
  assert.throws(() => book.learn([seen, { ...seen, id: 'bkp_2' }], new Possible()), /same label/);
  assert.throws(() => book.learn([{ ...seen, id: 'bkp_2' }], new Possible()), /was bkp_1 and is bkp_2/);
});
