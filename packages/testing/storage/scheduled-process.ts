/** A simulated process: it sees storages through calls that a scheduler picks, and can be suspended and killed. */
import { HoldfastError } from '@holdfast/base';
import {
  type BlobBody,
  type BlobInfo,
  type BlobStore,
  bodyParts,
  bodySizeBytes,
  type CallOptions,
  type GetOptions,
  type StorageVerb,
} from '@holdfast/storage';
import { ListHistory } from './list-history.ts';
import type { ScheduledFault, Scheduler } from './scheduler.ts';

type PutOptions = CallOptions & { readonly ifAbsent?: boolean };
type Effect = () => Promise<void>;

/** How long what is late takes at most, in steps. */
const latenessSteps = 400;
const pageAtMost = 8;

const histories = new WeakMap<BlobStore, ListHistory>();

export class ScheduledProcess {
  readonly name: string;
  suspendedUntilStep = 0;
  /** Injected so far. */
  faults = 0;
  /** Puts and deletes that are still under way although their call has ended. */
  landings = 0;
  readonly #scheduler: Scheduler;
  #killed = false;

  /** Use `Scheduler.newProcess`. */
  constructor(scheduler: Scheduler, name: string) {
    this.#scheduler = scheduler;
    this.name = name;
  }

  get killed(): boolean {
    return this.#killed;
  }

  suspend(steps: number): void {
    this.suspendedUntilStep = this.#scheduler.steps + steps;
  }

  /** It never goes on. Half of what was under way lands some time, the other half never. */
  kill(): void {
    this.#killed = true;
    const { random } = this.#scheduler;
    for (const { key, effect } of this.#scheduler.takeCallsOf(this)) {
      if (effect && random() < 0.5) this.#landLater(key, effect);
    }
  }

  /** The storage as this process sees it. */
  through(store: BlobStore): BlobStore {
    let history = histories.get(store);
    if (!history) histories.set(store, (history = new ListHistory()));
    return {
      capabilities: store.capabilities,
      put: (key, body, options) => this.#put({ store, history, key, body, options }),
      get: (key, options) => this.#get(store, key, options),
      list: (prefix) => this.#list(store, history, prefix),
      delete: (key) => this.#delete(store, history, key),
      head: (key) => this.#call('head', key, undefined, async () => await store.head(key)),
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async #put(request: {
    readonly store: BlobStore;
    readonly history: ListHistory;
    readonly key: string;
    readonly body: BlobBody;
    readonly options: PutOptions | undefined;
  }): Promise<void> {
    const { store, history, key, body, options } = request;
    const put = async (content: BlobBody): Promise<void> => {
      await store.put(key, content, options);
      history.added({ key, sizeBytes: bodySizeBytes(content) }, this.#scheduler.steps);
    };
    const again = async (content: BlobBody): Promise<void> => {
      if (this.#scheduler.mayLand(key)) await put(content).catch(() => undefined);
    };
    // A stream has no content any more once its process is dead.
    const lastWill = 'buffers' in body ? async () => await again(body) : undefined;
    const fault = await this.#turn('put', key, lastWill);
    switch (fault?.kind) {
      case 'fail':
        throw failure(fault, 'put', key);
      case 'late_put': {
        const content = await copyOf(body);
        this.#landLater(key, async () => await again(content));
        throw unreachable('put', key);
      }
      case 'duplicate_put': {
        const content = await copyOf(body);
        await put(content);
        this.#landLater(key, async () => await again(content));
        return;
      }
      default:
        await put(body);
        await this.#answer('put', key, fault);
    }
  }

  async #get(store: BlobStore, key: string, options: GetOptions | undefined): Promise<Buffer> {
    return await this.#call('get', key, undefined, async () => await store.get(key, options));
  }

  async #delete(store: BlobStore, history: ListHistory, key: string): Promise<void> {
    const remove = async (): Promise<void> => {
      const info = await store.head(key);
      await store.delete(key);
      if (info) history.removed(info, this.#scheduler.steps);
    };
    await this.#call('delete', key, remove, remove);
  }

  async *#list(store: BlobStore, history: ListHistory, prefix: string): AsyncGenerator<BlobInfo> {
    const isPaged = this.#scheduler.isPaged();
    for (let after = ''; ; ) {
      const fault = await this.#turn('list', prefix, undefined);
      if (fault?.kind === 'fail') throw failure(fault, 'list', prefix);
      const fresh = store.list(prefix);
      const seen =
        fault?.kind === 'stale_list'
          ? history.asOf({ fresh, prefix, call: this.#scheduler.steps - fault.byCalls })
          : fresh;
      const limit = isPaged ? 1 + Math.floor(this.#scheduler.random() * pageAtMost) : Number.POSITIVE_INFINITY;
      const page: BlobInfo[] = [];
      for await (const info of seen) {
        if (info.key > after) page.push(info);
        if (page.length === limit) break;
      }
      await this.#answer('list', prefix, fault);
      yield* page;
      const last = page.at(-1);
      if (!last || page.length < limit) return;
      after = last.key;
    }
  }

  async #call<Result>(
    verb: StorageVerb,
    key: string,
    lastWill: Effect | undefined,
    effect: () => Promise<Result>,
  ): Promise<Result> {
    const fault = await this.#turn(verb, key, lastWill);
    if (fault?.kind === 'fail') throw failure(fault, verb, key);
    if (fault?.kind === 'late_put') {
      if (lastWill) this.#landLater(key, lastWill);
      throw unreachable(verb, key);
    }
    const result = await effect();
    await this.#answer(verb, key, fault);
    return result;
  }

  /** Waits until it is this call's turn: for ever once the process is dead. */
  async #turn(
    verb: StorageVerb | 'answer',
    key: string,
    effect: Effect | undefined,
  ): Promise<ScheduledFault | undefined> {
    const { promise, resolve } = Promise.withResolvers<ScheduledFault | undefined>();
    if (!this.#killed) this.#scheduler.wait({ process: this, verb, key, effect, resume: resolve });
    return await promise;
  }

  async #answer(verb: StorageVerb, key: string, fault: ScheduledFault | undefined): Promise<void> {
    if (fault?.kind === 'slow') await this.#turn('answer', key, undefined);
    if (fault?.kind === 'lost_ack') throw unreachable(verb, key);
  }

  #landLater(key: string, land: Effect): void {
    const afterSteps = 1 + Math.floor(this.#scheduler.random() * latenessSteps);
    this.#scheduler.landLater(this, { key, afterSteps, land });
  }
}

function failure(fault: Extract<ScheduledFault, { kind: 'fail' }>, verb: StorageVerb, key: string): HoldfastError {
  return new HoldfastError(fault.code, `Scheduled fault: ${verb} ${key}.`);
}

function unreachable(verb: StorageVerb, key: string): HoldfastError {
  return new HoldfastError('storage_unreachable', `Scheduled fault: no answer to ${verb} ${key}.`);
}

/** The caller's buffers are its own again once its put has failed. */
async function copyOf(body: BlobBody): Promise<BlobBody> {
  const buffers: Buffer[] = [];
  for await (const part of bodyParts(body)) for (const buffer of part) buffers.push(Buffer.from(buffer));
  return { buffers };
}
