import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldfastError, hasCode } from '@holdfast/base';
import fc from 'fast-check';
import type { PackKind } from '../repository/layout.ts';
import { location, packId, record, reference, u32 } from '../wire-fixture.ts';
import {
  decodeTablePage,
  decodeTableRoot,
  emptyTableRoot,
  encodeTablePage,
  encodeTableRoot,
  type PackTableRoot,
  type PackUse,
  partitionBitsFor,
  partitionOf,
} from './pack-table.ts';
import { PackTableChanges } from './pack-table-changes.ts';
import type { Reference } from './reference-list.ts';

const isDamaged = (error: unknown) => hasCode(error, 'repository_damaged');
const kind = fc.constantFrom<PackKind>('data', 'meta');
const use: fc.Arbitrary<PackUse> = record({ kind, uses: fc.array(fc.oneof(fc.nat(300), u32), { maxLength: 40 }) });
const page = fc.array(fc.tuple(packId, use), { maxLength: 12 }).map((entries) => new Map(entries));

test('a page is read back as it was written, its packs in ascending order', () => {
  fc.assert(
    fc.property(page, (packs) => {
      const back = decodeTablePage(encodeTablePage(packs));
      assert.deepEqual([...back.keys()], [...packs.keys()].sort());
      for (const [id, one] of packs) assert.deepEqual(back.get(id), one);
    }),
  );
});

test('a page that is cut short or goes on is refused; any bytes give a page or an error of ours', () => {
  fc.assert(
    fc.property(page, fc.nat(), fc.nat(255), (packs, at, value) => {
      const whole = encodeTablePage(packs);
      for (let length = 0; length < whole.length; length += 1) {
        assert.throws(() => decodeTablePage(whole.subarray(0, length)), isDamaged);
      }
      assert.throws(() => decodeTablePage(Buffer.concat([whole, Buffer.alloc(1)])), isDamaged);
      whole[at % whole.length] = value;
      try {
        decodeTablePage(whole);
      } catch (error) {
        assert.ok(error instanceof HoldfastError);
      }
    }),
    { numRuns: 50 },
  );
});

test('a root is read back as it was written', () => {
  const root = fc.integer({ min: 0, max: 5 }).chain((partitionBits) =>
    record({
      partitionBits: fc.constant(partitionBits),
      packCount: u32,
      pages: fc.array(reference, { minLength: 2 ** partitionBits, maxLength: 2 ** partitionBits }),
    }),
  );
  fc.assert(
    fc.property(root, (written) => {
      const bytes = encodeTableRoot(written);
      assert.deepEqual(decodeTableRoot(bytes), written);
      for (let length = 0; length < bytes.length; length += 7) {
        assert.throws(() => decodeTableRoot(bytes.subarray(0, length)), isDamaged);
      }
    }),
  );
});

test('every pack has one page, neighbours in the order of ids share pages', () => {
  assert.equal(partitionOf('ffff'.padEnd(64, '0'), 0), 0);
  assert.equal(partitionOf('8000'.padEnd(64, '0'), 1), 1);
  assert.equal(partitionOf('7fff'.padEnd(64, 'f'), 1), 0);
  assert.equal(partitionOf('abcd'.padEnd(64, '0'), 16), 0xabcd);
  assert.deepEqual([0, 128, 129, 256, 257, 1e9].map(partitionBitsFor), [0, 0, 1, 1, 2, 16]);
});

/** Pages in memory, as a meta pack would keep them. */
class PageStore {
  readonly #pages: Buffer[] = [];

  get written(): number {
    return this.#pages.length;
  }

  readonly write = async (content: Buffer): Promise<() => Reference> => {
    const slot = this.#pages.push(content) - 1;
    const place = { packId: 'ee'.repeat(32), slot, offset: 0, storedBytes: content.length };
    return () => ({ kind: 'data', id: Buffer.alloc(32, slot), location: place });
  };

  readonly read = async (stored: Reference & { kind: 'data' }): Promise<Buffer> => this.#pages[stored.location.slot]!;

  async table(root: PackTableRoot): Promise<Map<string, PackUse>> {
    const table = new Map<string, PackUse>();
    for (const [number, stored] of root.pages.entries()) {
      if (stored.kind !== 'data') continue;
      for (const [id, one] of decodeTablePage(await this.read(stored))) {
        assert.equal(partitionOf(id, root.partitionBits), number, 'a pack is on its own page');
        table.set(id, one);
      }
    }
    return table;
  }
}

/** The oracle: uses by pack and slot. */
class CountedUses {
  readonly #uses = new Map<string, { kind: PackKind; uses: number[] }>();

  count(packKind: PackKind, id: string, slot: number, by: 1 | -1): void {
    const pack = this.#uses.get(id) ?? { kind: packKind, uses: [] };
    this.#uses.set(id, pack);
    while (pack.uses.length <= slot) pack.uses.push(0);
    pack.uses[slot]! += by;
  }

  /** Some slot that is used, to be given up. */
  used(choice: number): { kind: PackKind; id: string; slot: number } | undefined {
    const all = [...this.#uses].flatMap(([id, { kind: packKind, uses }]) =>
      uses.flatMap((count, slot) => (count > 0 ? [{ kind: packKind, id, slot }] : [])),
    );
    return all[choice % all.length];
  }

  table(): Map<string, PackUse> {
    const table = new Map<string, PackUse>();
    for (const [id, { kind: packKind, uses }] of this.#uses) {
      const length = uses.findLastIndex((count) => count > 0) + 1;
      if (length > 0) table.set(id, { kind: packKind, uses: uses.slice(0, length) });
    }
    return table;
  }
}

function sorted(table: Map<string, PackUse>): [string, PackUse][] {
  return [...table].sort(([left], [right]) => (left < right ? -1 : 1));
}

test('changes applied to a table over several points give what a map would count, also while pages split', async () => {
  const spread = fc
    .uint8Array({ minLength: 2, maxLength: 2 })
    .map((head) => Buffer.from(head).toString('hex').padEnd(64, '5'));
  const more = record({
    packs: fc.array(spread, { maxLength: 150 }),
    slots: fc.array(fc.nat(90), { minLength: 1, maxLength: 4 }),
  });
  const round = record({ more, fewer: fc.array(fc.nat(), { maxLength: 30 }) });
  const property = fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 5 }), async (rounds) => {
    const pages = new PageStore();
    const oracle = new CountedUses();
    let root = emptyTableRoot;
    for (const { more: added, fewer } of rounds) {
      const changes = new PackTableChanges();
      const count = (packKind: PackKind, id: string, slot: number, by: 1 | -1) => {
        oracle.count(packKind, id, slot, by);
        changes.count(packKind, { packId: id, slot, offset: 0, storedBytes: 1 }, by);
      };
      for (const id of added.packs) {
        for (const slot of added.slots) count(Number.parseInt(id[3]!, 16) % 2 === 0 ? 'data' : 'meta', id, slot, 1);
      }
      for (const choice of fewer) {
        const gone = oracle.used(choice);
        if (gone) count(gone.kind, gone.id, gone.slot, -1);
      }
      const finish = await changes.applyTo({ base: root, readPage: pages.read, writePage: pages.write });
      root = decodeTableRoot(encodeTableRoot(finish()));
      assert.equal(root.packCount, oracle.table().size);
      assert.ok(root.partitionBits >= partitionBitsFor(root.packCount));
      assert.deepEqual(sorted(await pages.table(root)), sorted(oracle.table()));
    }
  });
  await fc.assert(property, { numRuns: 60 });
});

test('a change rewrites its page only', async () => {
  const pages = new PageStore();
  const all = new PackTableChanges();
  for (let number = 0; number < 1000; number += 1) {
    const id = (number * 64).toString(16).padStart(4, '0').padEnd(64, '0');
    all.count('data', { packId: id, slot: 0, offset: 0, storedBytes: 1 }, 1);
  }
  const base = (await all.applyTo({ base: emptyTableRoot, readPage: pages.read, writePage: pages.write }))();
  assert.equal(base.partitionBits, 3);
  const before = pages.written;
  const one = new PackTableChanges();
  one.count('data', { packId: '0000'.padEnd(64, '0'), slot: 0, offset: 0, storedBytes: 1 }, -1);
  const after = (await one.applyTo({ base, readPage: pages.read, writePage: pages.write }))();
  assert.equal(pages.written, before + 1);
  assert.equal(after.packCount, 999);
  assert.deepEqual(after.pages.slice(1), base.pages.slice(1));
});

test('a use that was never counted cannot be given up', async () => {
  await fc.assert(
    fc.asyncProperty(location, async (place) => {
      const changes = new PackTableChanges();
      changes.count('data', place, -1);
      const pages = new PageStore();
      await assert.rejects(
        changes.applyTo({ base: emptyTableRoot, readPage: pages.read, writePage: pages.write }),
        (error) => hasCode(error, 'internal'),
      );
    }),
    { numRuns: 20 },
  );
});
