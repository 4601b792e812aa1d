import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCrossSite } from './cross-site.ts';

const host = 'backup.example.com:8443';
const same = 'https://backup.example.com:8443';

type Case = readonly [what: string, says: { method?: string; site?: string; origin?: string }, refused: boolean];

const cases: readonly Case[] = [
  ['a program that says nothing', {}, false],
  ['the panel', { site: 'same-origin', origin: same }, false],
  ['an address typed in', { site: 'none' }, false],
  ['another site', { site: 'cross-site', origin: 'https://evil.example' }, true],
  ['a sibling subdomain', { site: 'same-site', origin: 'https://evil.example.com' }, true],
  ['another site, in an old browser', { origin: 'https://evil.example' }, true],
  ['another port, in an old browser', { origin: 'https://backup.example.com' }, true],
  ['the panel, in an old browser', { origin: same }, false],
  ['a sandboxed frame', { origin: 'null' }, true],
  ['a link from another site', { method: 'GET', site: 'cross-site' }, false],
  ['a deletion by another site', { method: 'DELETE', site: 'cross-site' }, true],
];

for (const [what, { method = 'POST', site, origin }, refused] of cases) {
  test(`${what} is ${refused ? 'refused' : 'let through'}`, () => {
    assert.equal(isCrossSite({ method, secFetchSite: site, origin, host }), refused);
  });
}
