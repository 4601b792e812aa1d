/** As damage.test.ts, with every point, to every length, and where everything is encrypted and hashed by the second algorithm. */
import { test } from 'node:test';
import { judgeFlips, judgeTruncation, tinyRepository } from './damage-fixture.ts';

test('a bit flip at every byte of every object (encrypted)', async () => {
  await judgeFlips(await tinyRepository({ encrypted: true, hash: 'hmac-sha-256' }), 'every point');
});

test('truncation of every object to every length (encrypted)', async () => {
  await judgeTruncation(await tinyRepository({ encrypted: true, hash: 'hmac-sha-256' }));
});

test('truncation of every object to every length (not encrypted)', async () => {
  await judgeTruncation(await tinyRepository({ encrypted: false, hash: 'blake3' }));
});
