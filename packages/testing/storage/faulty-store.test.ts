import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { crashAt, type Fault, faultsAt, SimulatedCrash } from './fault.ts';
import { type FaultyStore, faultyStore } from './faulty-store.ts';
import { MemoryStore } from './memory-store.ts';
import { randomFaults } from './random-faults.ts';

const body = (text: string) => ({ buffers: [Buffer.from(text)] });

/** A small story that uses every verb: put a, put b, head, get, list, delete. */
async function story(store: FaultyStore): Promise<void> {
  await store.put('a', body('aaaa'));
  await store.put('b', body('bbbb'), { ifAbsent: true });
  await store.head('a');
  await store.get('b');
  await Array.fromAsync(store.list(''));
  await store.delete('a');
}

test('without a script it counts and changes nothing', async () => {
  const store = faultyStore({ store: new MemoryStore() });
  await story(store);
  assert.deepEqual(
    store.calls.map(({ verb, key }) => `${verb} ${key}`),
    ['put a', 'put b', 'head a', 'get b', 'list ', 'delete a'],
  );
});

test('a crash at each call: what was before it is there, the call has its effect or not, all later calls are dead', async () => {
  const keysAfter = { before: ['', 'a', 'ab', 'ab', 'ab', 'ab'], after: ['a', 'ab', 'ab', 'ab', 'ab', 'b'] };
  for (const when of ['before', 'after', 'partial'] as const) {
    for (let call = 1; call <= 6; call += 1) {
      const memory = new MemoryStore();
      const store = faultyStore({ store: memory, script: crashAt(call, when) });
      await assert.rejects(story(store), SimulatedCrash);
      assert.equal(store.calls.length, call);
      await assert.rejects(store.put('late', body('x')), SimulatedCrash);
      await assert.rejects(Array.fromAsync(store.list('')), SimulatedCrash);
      const due = keysAfter[when === 'after' ? 'after' : 'before'][call - 1];
      assert.equal([...memory.objects().keys()].join(''), due, `${when} ${call}`);
    }
  }
});

test('a call under way when the process dies has no result', async () => {
  const memory = new MemoryStore();
  const script = faultsAt({ 1: { kind: 'slow', ms: 20 }, 2: { kind: 'crash', when: 'before' } });
  const store = faultyStore({ store: memory, script });
  const slow = store.put('a', body('a'));
  await assert.rejects(store.put('b', body('b')), SimulatedCrash);
  await assert.rejects(slow, SimulatedCrash);
});

test('scripted failures have no effect, a lost acknowledgement has it', async () => {
  for (const code of ['storage_full', 'storage_denied', 'storage_unreachable'] as const) {
    const memory = new MemoryStore();
    const store = faultyStore({ store: memory, script: faultsAt({ 1: { kind: 'fail', code } }) });
    await assert.rejects(store.put('a', body('a')), (error) => hasCode(error, code));
    assert.equal(memory.objects().size, 0);
    await store.put('a', body('a'));
  }
  const memory = new MemoryStore();
  const store = faultyStore({ store: memory, script: faultsAt({ 1: { kind: 'lost_ack' } }) });
  await assert.rejects(store.put('a', body('a')), (error) => hasCode(error, 'storage_unreachable'));
  assert.equal(memory.objects().size, 1);
});

test('a late put lands after so many calls with the content it had', async () => {
  const memory = new MemoryStore();
  const store = faultyStore({ store: memory, script: faultsAt({ 1: { kind: 'late_put', afterCalls: 2 } }) });
  const content = Buffer.from('late');
  await assert.rejects(store.put('a', { buffers: [content] }), (error) => hasCode(error, 'storage_unreachable'));
  content.fill(0);
  assert.equal(await store.head('a'), undefined);
  assert.equal((await store.get('a')).toString(), 'late');
});

test('a late put can land after the process has died', async () => {
  const memory = new MemoryStore();
  const script = faultsAt({ 1: { kind: 'late_put', afterCalls: 99 }, 2: { kind: 'crash', when: 'before' } });
  const store = faultyStore({ store: memory, script });
  await assert.rejects(store.put('a', body('a')));
  await assert.rejects(store.head('a'), SimulatedCrash);
  await store.landLatePuts();
  assert.deepEqual([...memory.objects().keys()], ['a']);
});

test('a duplicate put is delivered twice and succeeds once', async () => {
  let delivered = 0;
  const memory = new MemoryStore();
  const put = memory.put.bind(memory);
  const counting = Object.assign(memory, {
    put: (...call: Parameters<MemoryStore['put']>) => {
      delivered += 1;
      return put(...call);
    },
  });
  const store = faultyStore({ store: counting, script: faultsAt({ 1: { kind: 'duplicate_put' } }) });
  await store.put('a', body('a'), { ifAbsent: true });
  assert.equal(delivered, 2);
});

test('a stale listing shows the storage as it was', async () => {
  const stale: Fault = { kind: 'stale_list', byCalls: 3 };
  const store = faultyStore({ store: new MemoryStore(), script: faultsAt({ 5: stale }) });
  await store.put('a', body('a'));
  await store.put('b', body('b'));
  await store.put('c', body('c'));
  await store.delete('a');
  const keys = async (): Promise<string> => (await Array.fromAsync(store.list(''))).map(({ key }) => key).join('');
  assert.equal(await keys(), 'ab');
  assert.equal(await keys(), 'bc');
});

test('random faults repeat with their seed', () => {
  const drawn = (seed: number): readonly (Fault | undefined)[] => {
    const script = randomFaults({ seed, rate: 0.4 });
    return Array.from({ length: 200 }, (_, index) => script({ call: index + 1, verb: 'get', key: 'k' }));
  };
  assert.deepEqual(drawn(1), drawn(1));
  assert.notDeepEqual(drawn(1), drawn(2));
  const share = drawn(3).filter((fault) => fault !== undefined).length / 200;
  assert.ok(share > 0.25 && share < 0.55, String(share));
});
