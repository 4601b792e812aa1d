import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCommand, loadCommands } from './table.ts';

test('one to three words name a command; the rest are its own', async () => {
  assert.deepEqual(findCommand(['repo', 'init', '--storage', 'x'])?.words, ['--storage', 'x']);
  assert.deepEqual(findCommand(['backup', 'disk.raw'])?.words, ['disk.raw']);
  assert.deepEqual(findCommand(['volume', 'snapshot', 'list', 'a', 'b'])?.words, ['a', 'b']);
  assert.deepEqual(findCommand(['points'])?.words, []);
  assert.equal((await findCommand(['key', 'list'])?.load())?.name, 'key list');
});

test('what names no command is not found', () => {
  for (const words of [
    [],
    ['repo'],
    ['volume', 'snapshot'],
    ['bakcup'],
    ['--help'],
    ['toString'],
    ['--json', 'points'],
  ]) {
    assert.equal(findCommand(words), undefined, words.join(' '));
  }
});

test('every command is listed under its own name, once, with words for people', async () => {
  const commands = await loadCommands();
  assert.equal(new Set(commands.map(({ name }) => name)).size, commands.length);
  for (const { name, summary, options, arguments: words } of commands) {
    assert.equal((await findCommand(name.split(' '))?.load())?.name, name);
    const sentences = [summary, ...[...Object.values(options), ...Object.values(words)].map((value) => value.summary)];
    for (const sentence of sentences) assert.match(sentence, /^[A-Zza-z].*[^.]$/, `${name}: ${sentence}`);
    assert.equal(Object.hasOwn(options, 'json'), false, `${name}: --json is there by itself`);
  }
});

test('a group has its commands only', async () => {
  assert.deepEqual(
    (await loadCommands('key')).map(({ name }) => name),
    ['key add', 'key rotate', 'key remove', 'key list', 'key export'],
  );
  assert.deepEqual(await loadCommands('nothing'), []);
});
