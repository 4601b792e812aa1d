import assert from 'node:assert/strict';
import { test } from 'node:test';
import { topicFilter } from './topics.ts';

const topics = ['user.created', 'user.deleted', 'account.created', 'api_token.created', 'user_group.created'];

for (const [filter, expected] of [
  [undefined, topics],
  ['user.created', ['user.created']],
  ['user.*', ['user.created', 'user.deleted']],
  ['account.created,user.*', ['user.created', 'user.deleted', 'account.created']],
  ['user', []],
] as const) {
  test(`${filter ?? 'no filter'} lets through what it names`, () => {
    assert.deepEqual(topics.filter(topicFilter(filter)), expected);
  });
}
