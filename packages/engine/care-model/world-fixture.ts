/** The simulated world of one history: storages, clock, processes, disks that change, and everything that was noted. */
import assert from 'node:assert/strict';
import {
  type FakeClock,
  fakeClock,
  MemoryDisk,
  type MemoryStore,
  noise,
  type ScheduledCall,
  type ScheduledFault,
  type ScheduledProcess,
  Scheduler,
  seededRandom,
} from '@holdfast/testing';
import { withRetry } from '@holdfast/storage';
import { packIdOf, parsePointKey, pointsPrefix, sessionsPrefix } from '../repository/layout.ts';
import type { Repository } from '../repository/repository.ts';
import { newRepository, through } from '../repository-fixture.ts';
import { type Disks, PointRecord } from './oracle-fixture.ts';

/** Short enough for everything to be done in place, so that no thread pool takes part. */
const diskBytes = 3072;
/** Contents that are not zero; few, so that points share them and deleted content comes again. */
const contents = 14;
const packBytesOf = [2000, 11_000, 24_000] as const;

export type Role = 'writer' | 'keeper' | 'user';

export type Actor = {
  readonly role: Role;
  readonly name: string;
  process: ScheduledProcess;
  /** As this process sees it: what it caches lives as long as the process. */
  repository: Repository;
  target: Repository;
  operation: Operation | undefined;
};

/** One thing that an actor does. */
export type Operation = {
  readonly number: number;
  readonly kind: string;
  readonly actor: Actor;
  readonly process: ScheduledProcess;
  readonly faultsBefore: number;
  readonly sessions: Set<string>;
  /** What its backup reads. */
  disks: Disks | undefined;
  resource: string | undefined;
  /** The point that it reads, builds on, or is to delete. */
  about: PointRecord | undefined;
  readonly points: PointRecord[];
  /** Of a collection. */
  trashDays: number | undefined;
  isDone: boolean;
};

export type WorldOptions = {
  readonly seed: number;
  /** Share of calls with a fault. */
  readonly faultRate: number;
};

export class World {
  readonly random: () => number;
  readonly clock: FakeClock = fakeClock();
  readonly scheduler: Scheduler;
  readonly store: MemoryStore;
  readonly targetStore: MemoryStore;
  readonly repository: Repository;
  readonly target: Repository;
  readonly actors: readonly Actor[];
  /** What the machines' disks hold now, by resource. */
  readonly machines: ReadonlyMap<string, Record<string, MemoryDisk>>;
  readonly points = new Map<string, PointRecord>();
  /** Keys of packs with a turned byte. */
  readonly rotten = new Set<string>();
  readonly faults: Record<string, number> = {};
  readonly operations: Record<string, number> = {};
  /** What came of operations, by what it is. */
  readonly outcomes: Record<string, number> = {};
  /** What happened, for the reader of a failure. */
  readonly trace: string[] = [];
  readonly #operationOf = new Map<ScheduledProcess, Operation>();
  #faultRate: number;
  #begun = 0;

  private constructor(options: WorldOptions, made: { source: Repository; target: Repository }) {
    const { seed, faultRate } = options;
    this.random = seededRandom(seed);
    this.#faultRate = faultRate;
    const packBytes = this.pick(packBytesOf);
    const simulated = (repository: Repository): Repository => {
      const { configuration } = repository;
      const defaults = { ...configuration.defaults, pack_bytes: packBytes };
      return { ...repository, clock: this.clock, configuration: { ...configuration, defaults } };
    };
    this.repository = simulated(made.source);
    this.target = simulated(made.target);
    this.store = made.source.store as MemoryStore;
    this.targetStore = made.target.store as MemoryStore;
    this.scheduler = new Scheduler({
      random: seededRandom(seed + 0x5eed),
      faults: (call) => this.#chooseFault(call),
      pagedShare: 0.2,
      // Relied upon (docs/reliability.md): a pack's put does not land again once the pack was deleted.
      staysDeleted: (key) => /\/(data|meta)\//.test(key),
      onCall: (call) => this.#note(call),
    });
    this.actors = (['writer', 'writer', 'writer', 'keeper', 'keeper', 'user', 'user'] as const).map((role, index) =>
      this.#newActor(role, `${role}${index}`),
    );
    this.machines = new Map(
      ['volumes/a', 'volumes/b', 'instances/c'].map((resource, index) => [
        resource,
        Object.fromEntries(
          ['vda', 'vdb', 'vdc', 'vdd', 'vde'].slice(0, 2 * index + 1).map((name) => [name, new MemoryDisk(diskBytes)]),
        ),
      ]),
    );
  }

  static async make(options: WorldOptions): Promise<World> {
    const encrypted = options.seed % 8 === 7;
    const { repository: source } = await newRepository({ encrypted });
    const { repository: target } = await newRepository({ encrypted });
    return new World(options, { source, target });
  }

  /** Uniform below. */
  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  pick<Item>(items: readonly Item[]): Item {
    assert.ok(items.length > 0);
    return items[this.below(items.length)]!;
  }

  chance(share: number): boolean {
    return this.random() < share;
  }

  idle(role: Role): Actor | undefined {
    const free = this.actors.filter((actor) => actor.role === role && !actor.operation);
    return free.length > 0 ? this.pick(free) : undefined;
  }

  get busy(): readonly Actor[] {
    return this.actors.filter(({ operation }) => operation);
  }

  count(kind: string): void {
    this.operations[kind] = (this.operations[kind] ?? 0) + 1;
  }

  note(outcome: string, count = 1): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + count;
  }

  say(text: string): void {
    this.trace.push(text);
  }

  begin(actor: Actor, kind: string): Operation {
    this.#begun += 1;
    const { process } = actor;
    const operation: Operation = {
      number: this.#begun,
      kind,
      actor,
      process,
      faultsBefore: process.faults,
      sessions: new Set(),
      disks: undefined,
      resource: undefined,
      about: undefined,
      points: [],
      trashDays: undefined,
      isDone: false,
    };
    actor.operation = operation;
    this.#operationOf.set(process, operation);
    return operation;
  }

  /** The actor is another process from now on. */
  replace(actor: Actor): void {
    actor.operation = undefined;
    const { process, repository, target } = this.#newProcess(actor.name);
    Object.assign(actor, { process, repository, target });
  }

  endFaults(): void {
    this.#faultRate = 0;
  }

  /** One disk gets a content that it, or another one, may have had before. */
  writeDisk(): void {
    const resource = this.pick([...this.machines.keys()]);
    const disks = this.machines.get(resource)!;
    const name = this.pick(Object.keys(disks));
    const content = this.below(contents + 1);
    const disk = disks[name]!;
    if (content === 0) disk.zero({ offset: 0, length: diskBytes });
    else disk.write(noise({ seed: content, length: diskBytes }), 0);
    this.say(`      disk ${resource} ${name} = ${content}`);
  }

  #newActor(role: Role, name: string): Actor {
    return { role, name, operation: undefined, ...this.#newProcess(name) };
  }

  #newProcess(name: string): Pick<Actor, 'process' | 'repository' | 'target'> {
    const process = this.scheduler.newProcess(name);
    const tries = this.chance(0.7);
    const seen = (repository: Repository, store: MemoryStore): Repository => {
      const scheduled = process.through(store);
      // Most processes try again what failed, as the programs do.
      const { sleep } = this.clock;
      return through(repository, tries ? withRetry({ store: scheduled, sleep, random: this.random }) : scheduled);
    };
    return {
      process,
      repository: seen(this.repository, this.store),
      target: seen(this.target, this.targetStore),
    };
  }

  #chooseFault({ verb, key }: Omit<ScheduledCall, 'fault'>): ScheduledFault | undefined {
    const { random } = this.scheduler;
    // There are few of them, and most that can go wrong goes wrong there.
    const isChange = verb === 'put' || verb === 'delete';
    if (random() >= this.#faultRate * (isChange ? 3 : 1)) return undefined;
    // A storage that is collected lists what was written; only what is advisory may come late.
    const isAdvisory = verb === 'list' && key.includes('/idx/');
    const kinds: readonly ScheduledFault[] = [
      { kind: 'fail', code: 'storage_unreachable' },
      { kind: 'lost_ack' },
      { kind: 'slow', ms: 0 },
      ...(verb === 'put' ? ([{ kind: 'fail', code: 'storage_full' }, { kind: 'duplicate_put' }] as const) : []),
      ...(isChange ? ([{ kind: 'late_put', afterCalls: 0 }] as const) : []),
      ...(isAdvisory ? ([{ kind: 'stale_list', byCalls: 1 + Math.floor(random() * 300) }] as const) : []),
      ...(random() < 0.2 ? ([{ kind: 'fail', code: 'storage_denied' }] as const) : []),
    ];
    const fault = kinds[Math.floor(random() * kinds.length)]!;
    const name = fault.kind === 'fail' ? fault.code : fault.kind;
    this.faults[name] = (this.faults[name] ?? 0) + 1;
    return fault;
  }

  #note({ process, verb, key, fault }: ScheduledCall): void {
    const operation = this.#operationOf.get(process);
    const hit = fault && (fault.kind === 'fail' ? fault.code : fault.kind);
    this.trace.push(`${process.name} #${operation?.number} ${verb} ${shortKey(key)}${hit ? ` (${hit})` : ''}`);
    if (!operation || (verb !== 'put' && verb !== 'landing')) return;
    // What lands late may be of an operation before: it never takes the place of a session that this one has put.
    const isOwn = verb === 'put' || operation.sessions.size === 0;
    if (isOwn && key.startsWith(sessionsPrefix)) operation.sessions.add(key.slice(sessionsPrefix.length));
    if (key.startsWith(pointsPrefix(this.repository.domain))) this.#notePoint(operation, key);
  }

  #notePoint(operation: Operation, key: string): void {
    const named = parsePointKey(this.repository.domain, key);
    if (!named || !operation.disks || this.points.has(named.pointId)) return;
    const record = new PointRecord({
      ...named,
      key,
      sessionId: [...operation.sessions].at(-1),
      disks: operation.disks,
    });
    operation.points.push(record);
    this.points.set(record.pointId, record);
  }
}

/** Readable in a history: the random tail of ids tells them apart. */
export function shortKey(key: string): string {
  if (/\/(data|meta)\//.test(key)) return `${key.split('/')[2]}/${packIdOf(key).slice(0, 6)}`;
  return key
    .replace(/^d\/default\//, '')
    .replace(/([0-9a-f]{64})/g, (id) => id.slice(0, 6))
    .replace(/(bkp|ses)_[0-9a-f]{26}/g, '$1_');
}
