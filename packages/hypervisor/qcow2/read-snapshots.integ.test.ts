import assert from 'node:assert/strict';
import { copyFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { hasCode, KiB, MiB } from '@holdfast/base';
import fc from 'fast-check';
import { qemuIo, run, scratchDirectory } from '../testing/scratch-directory.ts';
import { type Qcow2Snapshot, readQcow2Snapshots } from './read-snapshots.ts';

function create(image: string, options: string, size = '64M'): void {
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', options, image, size);
}

/** Clusters that the image's own reference counts say are in use: another reading of them than the one under test. */
async function usedClusters(image: string): Promise<number> {
  const file = await readFile(image);
  const clusterBytes = 1 << file.readUInt32BE(20);
  const order = file.readUInt32BE(4) === 2 ? 4 : file.readUInt32BE(96);
  const table = file.subarray(Number(file.readBigUInt64BE(48)), Number(file.readBigUInt64BE(48)) + clusterBytes);
  let used = 0;
  for (let entry = 0; entry + 8 <= table.length; entry += 8) {
    const block = Number(table.readBigUInt64BE(entry));
    if (block === 0) continue;
    const bits = 1 << order;
    for (let at = block * 8; at < (block + clusterBytes) * 8; at += bits) {
      const isUsed =
        bits < 8
          ? ((file[at >>> 3]! >>> (at & 7)) & ((1 << bits) - 1)) !== 0
          : file.subarray(at / 8, (at + bits) / 8).some((byte) => byte !== 0);
      if (isUsed) used += 1;
    }
  }
  return used;
}

async function snapshotsOf(image: string): Promise<readonly Qcow2Snapshot[]> {
  return (await readQcow2Snapshots({ path: image })).snapshots;
}

function usageBytes({ usage }: Qcow2Snapshot): number {
  assert.ok(usage.kind === 'known');
  return usage.divergedBytes + usage.tableBytes;
}

/** For each snapshot: what is said of it is what QEMU frees when it deletes that one. */
async function assertDeletionFrees(image: string, clusterBytes: number): Promise<void> {
  run('qemu-img', 'check', '-q', image);
  const before = await usedClusters(image);
  const snapshots = await snapshotsOf(image);
  for (const snapshot of snapshots) {
    const copy = `${image}.copy`;
    await copyFile(image, copy);
    run('qemu-img', 'snapshot', '-d', snapshot.name, copy);
    // With the last snapshot goes their table.
    const freed = (before - (await usedClusters(copy)) - (snapshots.length === 1 ? 1 : 0)) * clusterBytes;
    assert.equal(usageBytes(snapshot), freed, `${snapshot.name} of ${snapshots.map(({ name }) => name).join()}`);
  }
}

test('snapshots are listed as qemu-img lists them', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('a.qcow2');
  create(image, 'preallocation=off');
  assert.deepEqual(await readQcow2Snapshots({ path: image }), {
    sizeBytes: 64 * MiB,
    bitmaps: 0,
    hasBackingFile: false,
    snapshots: [],
  });
  run('qemu-img', 'snapshot', '-c', 'first', image);
  run('qemu-img', 'resize', '-q', image, '96M');
  run('qemu-img', 'snapshot', '-c', 'zweiter Schnappschuss äöü', image);
  const info = JSON.parse(run('qemu-img', 'info', '--output=json', image)) as {
    readonly snapshots: readonly Readonly<Record<string, string | number>>[];
  };
  const read = await readQcow2Snapshots({ path: image });
  assert.equal(read.sizeBytes, 96 * MiB);
  assert.deepEqual(
    read.snapshots.map(({ id, name, takenAtMs, vmClockMs, vmStateBytes }) => [
      id,
      name,
      takenAtMs,
      vmClockMs,
      vmStateBytes,
    ]),
    info.snapshots.map((shown) => [
      shown['id'],
      shown['name'],
      Number(shown['date-sec']) * 1000 + Math.floor(Number(shown['date-nsec']) / 1e6),
      Number(shown['vm-clock-sec']) * 1000,
      shown['vm-state-size'],
    ]),
  );
  assert.deepEqual(
    read.snapshots.map(({ sizeBytes }) => sizeBytes),
    [64 * MiB, 96 * MiB],
  );
});

test('a fresh snapshot keeps nothing but its table; what is written after it, it keeps alone', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('a.qcow2');
  create(image, 'cluster_size=64k');
  qemuIo('qcow2', image, 'write -P 1 0 4M');
  run('qemu-img', 'snapshot', '-c', 's', image);
  assert.deepEqual((await snapshotsOf(image))[0]?.usage, { kind: 'known', divergedBytes: 0, tableBytes: 64 * KiB });
  qemuIo('qcow2', image, 'write -P 2 1M 1M', 'write -P 2 40M 1M', 'discard 3M 512k');
  assert.deepEqual((await snapshotsOf(image))[0]?.usage, {
    kind: 'known',
    divergedBytes: MiB + 512 * KiB,
    tableBytes: 2 * 64 * KiB,
  });
});

test('what a snapshot keeps is what its deletion frees: versions, cluster and count sizes, subclusters, compression', async () => {
  await using scratch = await scratchDirectory();
  const kinds = [
    { options: 'compat=0.10', clusterBytes: 64 * KiB },
    { options: 'compat=1.1,cluster_size=512', clusterBytes: 512 },
    { options: 'compat=1.1,cluster_size=4k,refcount_bits=64', clusterBytes: 4 * KiB },
    { options: 'compat=1.1,cluster_size=4k,refcount_bits=4', clusterBytes: 4 * KiB },
    { options: 'compat=1.1,cluster_size=2M,refcount_bits=32', clusterBytes: 2 * MiB },
    { options: 'compat=1.1,extended_l2=on,cluster_size=64k', clusterBytes: 64 * KiB },
    { options: 'compat=1.1,compression_type=zstd', clusterBytes: 64 * KiB },
    { options: 'compat=1.1,preallocation=metadata', clusterBytes: 64 * KiB },
  ];
  for (const [index, { options, clusterBytes }] of kinds.entries()) {
    const image = scratch.path(`${index}.qcow2`);
    create(image, options, '16M');
    run('qemu-img', 'snapshot', '-c', 'empty', image);
    // QEMU compresses whole clusters into empty ones, not beside subclusters, and counts far where it does.
    const compress = /extended_l2|refcount_bits=4|cluster_size=2M|metadata/.test(options) ? '' : '-c ';
    qemuIo('qcow2', image, 'write -P 1 0 2M', 'write -P 2 8M 1M', `write ${compress}-P 3 4M 128k`);
    run('qemu-img', 'snapshot', '-c', 'full', image);
    qemuIo('qcow2', image, 'write -P 4 1M 512k', 'write -z 8M 256k', 'discard 9M 1M');
    qemuIo('qcow2', image, 'discard 4M 64k', `write ${compress}-P 5 4M 64k`, 'write 6M 2k');
    run('qemu-img', 'snapshot', '-c', 'later', image);
    qemuIo('qcow2', image, 'write -P 6 1M 64k', 'write -P 6 12M 1M', 'discard 0 256k', 'write 4160k 1k');
    await assertDeletionFrees(image, clusterBytes);
  }
});

test('the same after any history of writes, discards and snapshots', async () => {
  const place = fc.record({ at: fc.nat(127), count: fc.integer({ min: 1, max: 24 }) });
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('write -P 7', 'compress', 'write -z', 'write -z -u', 'discard'), place }),
    fc.record({ kind: fc.constantFrom('snapshot', 'delete', 'revert') }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 16 }), async (steps) => {
      await using scratch = await scratchDirectory();
      const image = scratch.path('a.qcow2');
      create(image, 'cluster_size=4k', '768k');
      run('qemu-img', 'snapshot', '-c', 'base', image);
      let pending: string[] = [];
      const names: string[] = [];
      for (const [index, made] of steps.entries()) {
        if ('place' in made) {
          const { at, count } = made.place;
          for (let cluster = at; cluster < at + count; cluster += 1) {
            // QEMU compresses into empty clusters only.
            const commands = made.kind === 'compress' ? ['discard', 'write -c -P 8'] : [made.kind];
            pending.push(...commands.map((command) => `${command} ${cluster * 4}k 4k`));
          }
          continue;
        }
        if (pending.length > 0) qemuIo('qcow2', image, ...pending);
        pending = [];
        const last = names.at(-1) ?? 'base';
        if (made.kind === 'snapshot') run('qemu-img', 'snapshot', '-c', names[names.push(`s${index}`) - 1]!, image);
        else if (made.kind === 'revert') run('qemu-img', 'snapshot', '-a', last, image);
        else if (names.length > 0) run('qemu-img', 'snapshot', '-d', names.pop()!, image);
      }
      if (pending.length > 0) qemuIo('qcow2', image, ...pending);
      await assertDeletionFrees(image, 4 * KiB);
    }),
    { numRuns: 4 },
  );
});

test('damaged tables give an error with its code, or a figure; never a crash and no endless loop', async () => {
  await using scratch = await scratchDirectory();
  const [image, damaged] = [scratch.path('a.qcow2'), scratch.path('damaged.qcow2')];
  create(image, 'cluster_size=4k', '8M');
  qemuIo('qcow2', image, 'write -P 1 0 32k', 'write -c 2M 4k');
  run('qemu-img', 'snapshot', '-c', 's1', image);
  qemuIo('qcow2', image, 'write -P 2 8k 8k', 'write 4M 4k');
  run('qemu-img', 'snapshot', '-c', 's2', image);
  qemuIo('qcow2', image, 'write -P 3 0 8k', 'write 4M 4k', 'write 2M 4k');
  run('qemu-img', 'bitmap', '--add', image, 'b');
  const whole = await readFile(image);
  const codes = new Map<string, number>();
  const flip = fc.record({
    at: fc.oneof(fc.nat(111), fc.nat(whole.length - 1)),
    bit: fc.nat(7),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 6 }), async (flips) => {
      const bytes = Buffer.from(whole);
      for (const { at, bit } of flips) bytes[at]! ^= 1 << bit;
      await writeFile(damaged, bytes);
      const startedMs = performance.now();
      try {
        for (const { usage } of await snapshotsOf(damaged)) {
          assert.ok(usage.kind === 'unknown' || usage.divergedBytes + usage.tableBytes <= whole.length);
        }
      } catch (error) {
        assert.ok(hasCode(error, 'image_damaged', 'image_unsupported'), String(error));
        codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
      }
      assert.ok(performance.now() - startedMs < 20_000);
    }),
    { numRuns: 400 },
  );
  assert.ok((codes.get('image_damaged') ?? 0) > 20, JSON.stringify([...codes]));
});

test('each kind of damage is named', async () => {
  await using scratch = await scratchDirectory();
  const [image, damaged] = [scratch.path('a.qcow2'), scratch.path('damaged.qcow2')];
  create(image, 'cluster_size=4k', '8M');
  qemuIo('qcow2', image, 'write -P 1 0 32k');
  run('qemu-img', 'snapshot', '-c', 's1', image);
  qemuIo('qcow2', image, 'write -P 2 0 32k');
  const whole = await readFile(image);
  const table = Number(whole.readBigUInt64BE(64));
  const l1 = Number(whole.readBigUInt64BE(table));
  const l2 = Number(whole.readBigUInt64BE(l1) & 0x00ff_ffff_ffff_fe00n);
  const refcountBlock = Number(whole.readBigUInt64BE(Number(whole.readBigUInt64BE(48))));
  const cases: readonly (readonly [RegExp, (bytes: Buffer) => void])[] = [
    [/clusters of 2\^40 bytes/, (bytes) => bytes.writeUInt32BE(40, 20)],
    [/version 9/, (bytes) => bytes.writeUInt32BE(9, 4)],
    [/features of a newer QEMU/, (bytes) => bytes.writeUInt32BE(1 << 20, 76)],
    [/external data file/, (bytes) => bytes.writeUInt32BE(4, 76)],
    [/marked it as corrupt/, (bytes) => bytes.writeUInt32BE(2, 76)],
    [/refcount table lies past the end/, (bytes) => bytes.writeBigUInt64BE(1n << 40n, 48)],
    [/snapshot table begins inside a cluster/, (bytes) => bytes.writeBigUInt64BE(BigInt(table + 8), 64)],
    [/entry 1 of the snapshot table lies past the end/, (bytes) => bytes.writeBigUInt64BE(1n << 40n, 64)],
    [/4000000000 snapshots/, (bytes) => bytes.writeUInt32BE(4_000_000_000, 60)],
    [/its L1 table has 4294967295 entries/, (bytes) => bytes.writeUInt32BE(0xffff_ffff, table + 8)],
    [/L1 table of snapshot 1 refers to beyond the end/, (bytes) => bytes.writeBigUInt64BE(1n << 41n, table)],
    [/L2 table 0 of snapshot 1 begins inside/, (bytes) => bytes.writeBigUInt64BE(BigInt(l2 + 512), l1)],
    [/L2 table 0 of snapshot 1 shares a cluster/, (bytes) => bytes.copy(bytes, l2 + 8, l2, l2 + 8)],
    [/L2 table 0 of snapshot 1 refers to beyond/, (bytes) => bytes.writeBigUInt64BE(1n << 50n, l2)],
    [/counts as free/, (bytes) => bytes.fill(0, refcountBlock, refcountBlock + 4096)],
  ];
  for (const [message, damage] of cases) {
    const bytes = Buffer.from(whole);
    damage(bytes);
    await writeFile(damaged, bytes);
    await assert.rejects(
      snapshotsOf(damaged),
      (error) => hasCode(error, 'image_damaged', 'image_unsupported') && message.test(error.message),
      String(message),
    );
  }
});

test('what is no qcow2 image, cut off or away is told so', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('a.qcow2');
  await assert.rejects(snapshotsOf(image), (error) => hasCode(error, 'source_not_found'));
  for (const content of ['', 'QF', 'a raw disk'.repeat(100)]) {
    await writeFile(image, content);
    await assert.rejects(
      snapshotsOf(image),
      (error) => hasCode(error, 'image_unsupported') && /convert/.test(error.remedy),
    );
  }
  create(image, 'cluster_size=64k');
  qemuIo('qcow2', image, 'write 0 1M');
  run('qemu-img', 'snapshot', '-c', 's', image);
  qemuIo('qcow2', image, 'write 0 1M');
  for (let length = MiB; length > 4; length = Math.floor(length / 2)) {
    await truncate(image, length);
    await assert.rejects(snapshotsOf(image), (error) => hasCode(error, 'image_damaged'), String(length));
  }
});

test('with lazy reference counts after a crash the figure is unknown', async () => {
  await using scratch = await scratchDirectory();
  const image = scratch.path('a.qcow2');
  create(image, 'lazy_refcounts=on');
  run('qemu-img', 'snapshot', '-c', 's', image);
  run('sh', '-c', `qemu-io -f qcow2 -c 'write 0 1M' -c flush -c 'sigraise 9' '${image}' 2>&1; true`);
  assert.deepEqual((await snapshotsOf(image))[0]?.usage, { kind: 'unknown' });
});

test('bitmaps and backing files are seen', async () => {
  await using scratch = await scratchDirectory();
  const [base, image] = [scratch.path('base.qcow2'), scratch.path('a.qcow2')];
  create(base, 'cluster_size=64k');
  run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', image);
  run('qemu-img', 'bitmap', '--add', image, 'b1');
  run('qemu-img', 'bitmap', '--add', image, 'b2');
  const { bitmaps, hasBackingFile } = await readQcow2Snapshots({ path: image });
  assert.deepEqual({ bitmaps, hasBackingFile }, { bitmaps: 2, hasBackingFile: true });
});
