import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KiB, MiB } from '@holdfast/base';
import fc from 'fast-check';
import { planFetches, type WantedChunk } from './fetch-plan.ts';

/** Packs as lists of frames, each after a gap of frames that nobody wants. */
const packs = fc.array(
  fc.array(
    fc.record({
      gap: fc.oneof(fc.constant(0), fc.nat(130 * KiB)),
      storedBytes: fc.oneof(fc.integer({ min: 72, max: 100 * KiB }), fc.constantFrom(MiB, 4 * MiB + 88)),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  { minLength: 1, maxLength: 3 },
);

type Place = { readonly packId: string; readonly slot: number; readonly offset: number; readonly storedBytes: number };

const wanted = fc.tuple(packs, fc.array(fc.nat(), { maxLength: 60 })).map(([contents, choices]): WantedChunk[] => {
  const places = contents.flatMap((frames, pack): Place[] => {
    let offset = 32;
    return frames.map(({ gap, storedBytes }, slot) => {
      const place = { packId: String(pack).repeat(64), slot, offset: offset + gap, storedBytes };
      offset = place.offset + storedBytes;
      return place;
    });
  });
  return choices.map((choice, chunk) => {
    const at = choice % places.length;
    return { chunk, reference: { kind: 'data', id: Buffer.alloc(32, at), location: places[at]! } };
  });
});

test('every wanted chunk is fetched once, inside its range; ranges are tight, bounded and cannot be joined', () => {
  fc.assert(
    fc.property(wanted, (chunks) => {
      const jobs = planFetches(chunks);
      const fetched = jobs.flatMap((job) => job.chunks.flatMap((fetch) => fetch.chunks));
      assert.deepEqual(
        fetched.toSorted((a, b) => a - b),
        chunks.map(({ chunk }) => chunk),
      );
      for (const job of jobs) {
        let end = job.offset;
        for (const [index, { reference, chunks: places }] of job.chunks.entries()) {
          const { packId, offset, storedBytes } = reference.location;
          assert.equal(packId, job.packId);
          assert.ok(index === 0 ? offset === job.offset : offset >= end && offset - end <= 64 * KiB);
          for (const place of places) assert.equal(chunks[place]!.reference.location, reference.location);
          end = offset + storedBytes;
        }
        assert.equal(job.length, end - job.offset);
        assert.ok(job.length <= 4 * MiB || job.chunks.length === 1);
      }
      for (const [index, next] of jobs.slice(1).entries()) {
        const before = jobs[index]!;
        if (before.packId !== next.packId) {
          assert.ok(before.packId < next.packId, 'pack-major');
          continue;
        }
        const gap = next.offset - before.offset - before.length;
        const [first] = next.chunks;
        const joined = first!.reference.location.offset + first!.reference.location.storedBytes - before.offset;
        assert.ok(gap >= 0);
        assert.ok(gap > 64 * KiB || joined > 4 * MiB, 'these could be one request');
      }
    }),
    { numRuns: 300 },
  );
});

test('nothing wanted, nothing fetched', () => {
  assert.deepEqual(planFetches([]), []);
});
