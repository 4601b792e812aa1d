import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { parseWords } from './parse.ts';
import type { CommandSpecification } from './specification.ts';

test('the last argument may be several words', () => {
  const many: CommandSpecification = {
    name: 'sweep',
    summary: 'Sweep rooms',
    arguments: { rooms: { repeatable: true, summary: 'Which rooms' } },
    options: { wet: { summary: 'With water' } },
  };
  const argsOf = (words: readonly string[]) => {
    const parsed = parseWords(many, words);
    return parsed.kind === 'values' ? parsed.args : parsed.text;
  };
  assert.deepEqual(argsOf([]), { rooms: [] });
  assert.deepEqual(argsOf(['a', '--wet', 'b', 'c']), { rooms: ['a', 'b', 'c'] });
  assert.match(JSON.stringify(argsOf(['--help'])), /\[ROOMS\.\.\.\]/);
});

const specification: CommandSpecification = {
  name: 'paint',
  summary: 'Paint a wall',
  details: 'Any wall will do.',
  arguments: {
    wall: { required: true, summary: 'Which wall' },
    tool: { summary: 'With what', choices: ['brush', 'roll'] },
  },
  options: {
    colour: { value: 'NAME', required: true, summary: 'Which colour' },
    coatCount: { value: 'N', summary: 'How many coats' },
    helper: { value: 'WHO', repeatable: true, summary: 'Who helps' },
    finish: { value: 'KIND', choices: ['matt', 'gloss'], summary: 'What it looks like' },
    quickDry: { summary: 'In a hurry' },
  },
};

function values(...words: readonly string[]) {
  const parsed = parseWords(specification, words);
  assert.equal(parsed.kind, 'values');
  return parsed.kind === 'values' ? { ...parsed.args, ...parsed.options } : {};
}

test('what is not given is undefined, false or an empty list', () => {
  assert.deepEqual(values('north', '--colour', 'red'), {
    wall: 'north',
    tool: undefined,
    colour: 'red',
    coatCount: undefined,
    helper: [],
    finish: undefined,
    quickDry: false,
  });
});

test('options may stand anywhere, with = or a space, and repeat where they may', () => {
  const given = values(
    '--helper',
    'a',
    'north',
    '--colour=red',
    '--helper=b',
    'roll',
    '--quick-dry',
    '--coat-count',
    '2',
  );
  assert.deepEqual(given, {
    wall: 'north',
    tool: 'roll',
    colour: 'red',
    coatCount: '2',
    helper: ['a', 'b'],
    finish: undefined,
    quickDry: true,
  });
});

test('--json is taken by every command and is no value of it', () => {
  assert.equal('json' in values('north', '--colour', 'red', '--json'), false);
});

test('after -- everything is an argument', () => {
  assert.equal(values('--colour', 'red', '--', '--north')['wall'], '--north');
});

for (const [what, words] of [
  ['a missing argument', ['--colour', 'red']],
  ['one argument too many', ['north', 'roll', 'more', '--colour', 'red']],
  ['a missing option', ['north']],
  ['an option without its value', ['north', '--colour']],
  ['an unknown option', ['north', '--colour', 'red', '--bold']],
  ['a value that is no choice', ['north', '--colour', 'red', '--finish', 'wet']],
  ['an argument that is no choice', ['north', 'spoon', '--colour', 'red']],
] as const) {
  test(`${what} is a usage error with a sentence and a way to the help`, () => {
    assert.throws(
      () => parseWords(specification, words),
      (error) => hasCode(error, 'usage') && /^[A-Z].*[.?)]$/.test(error.message) && /paint --help/.test(error.remedy),
    );
  });
}

test('help tells about every option and argument', () => {
  const parsed = parseWords(specification, ['--help']);
  assert.ok(parsed.kind === 'help');
  for (const part of [
    'paint',
    'Any wall will do',
    'WALL',
    '--coat-count <N>',
    '--quick-dry',
    '--json',
    'matt',
    'How many',
  ]) {
    assert.ok(parsed.text.includes(part), `${part} is not in\n${parsed.text}`);
  }
});
