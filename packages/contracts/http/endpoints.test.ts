import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endpoints } from './endpoints.ts';

test('names, and methods with their paths, are there once', () => {
  for (const keys of [endpoints.map(({ id }) => id), endpoints.map(({ method, path }) => `${method} ${path}`)]) {
    assert.equal(new Set(keys).size, keys.length);
  }
});

test('paths are flat plural nouns, and their parameters are described', () => {
  for (const { path, params } of endpoints) {
    assert.match(path, /^(\/[a-z-]+|\/:[a-z_]+)+$/);
    const named = [...path.matchAll(/:([a-z_]+)/g)].map(([, name]) => name);
    assert.deepEqual(Object.keys(params?.shape ?? {}), named, path);
  }
});

test('what is sent is strict, so that a field with a slip of the pen is refused', () => {
  for (const { id, params, query, body } of endpoints) {
    for (const part of [params, query, body]) {
      if (part) assert.ok(part.safeParse({ no_such_field: 1 }).error?.message.includes('no_such_field'), id);
    }
  }
});

test('an answer has a body, and 204 has none', () => {
  for (const { id, status, answer } of endpoints) assert.equal(answer === undefined, status === 204, id);
});
