import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { openApiPath } from './openapi-file.ts';

const file = join(resolve(import.meta.dirname, '../..'), openApiPath);

/** What the linter of the OpenAPI community finds; its rules for beginners' mistakes are errors here. */
async function problemsOf(source: string): Promise<readonly string[]> {
  const config = await createConfig({ extends: ['recommended-strict'] });
  const problems = await lintFromString({ source, absoluteRef: file, config });
  return problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer ?? ''}`);
}

test('the committed document passes the linter', async () => {
  assert.deepEqual(await problemsOf(await readFile(file, 'utf8')), []);
});

test('the linter would find a reference that leads nowhere', async () => {
  const broken = (await readFile(file, 'utf8')).replace(
    '"#/components/schemas/Account"',
    '"#/components/schemas/Acount"',
  );
  assert.notDeepEqual(await problemsOf(broken), []);
});
