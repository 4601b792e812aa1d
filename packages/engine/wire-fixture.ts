/** Arbitrary values of the format's parts, for the property tests of its codecs. */
import fc from 'fast-check';
import type { ChunkLocation } from './index/chunk-location.ts';
import { deriveDomainKeys, type DomainKeys } from './repository/domain-keys.ts';
import type { Reference } from './map/reference-list.ts';

/** As fc.record, with the prototype that decoded values have. */
export function record<Value>(model: { [Key in keyof Value]: fc.Arbitrary<Value[Key]> }): fc.Arbitrary<Value> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<Value>;
}

const u16 = fc.integer({ min: 0, max: 0xffff });
export const u32 = fc.integer({ min: 0, max: 0xffff_ffff });

export function bytes(length: number): fc.Arbitrary<Buffer> {
  return fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
}

/** Few of them, so that lists name the same pack often. */
export const packId: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...['00', '7f', 'ff'].map((byte) => byte.repeat(32))),
  bytes(32).map((id) => id.toString('hex')),
);

export const location: fc.Arbitrary<ChunkLocation> = record({
  packId,
  slot: u16,
  offset: u32,
  storedBytes: u32,
});

const dataReference = record({ kind: fc.constant('data' as const), id: bytes(32), location });

export const reference: fc.Arbitrary<Reference> = fc.oneof(
  fc.constant({ kind: 'zero' } as const),
  dataReference,
  record({ kind: fc.constant('split' as const), id: bytes(32), base: location, patch: location }),
  record({ kind: fc.constant('bad' as const), reason: fc.integer({ min: 1, max: 255 }) }),
);

export function testKeys(options: { readonly encrypted: boolean; readonly secret?: number }): DomainKeys {
  const { encrypted, secret = 1 } = options;
  return deriveDomainKeys({ domain: 'default', epoch: 1, secret: Buffer.alloc(32, secret), encrypted });
}

/** Every copy of `content` with one bit turned over, a bit of each byte. */
export function* flips(content: Buffer): Generator<{ readonly offset: number; readonly flipped: Buffer }> {
  for (let offset = 0; offset < content.length; offset += 1) {
    const flipped = Buffer.from(content);
    flipped[offset]! ^= 1 << (offset & 7);
    yield { offset, flipped };
  }
}
