/**
 * A store with faults by script: the engine's crash and fault runs wrap a real or a memory store in it. Every call has a
 * number in the order in which calls begin (a listing begins when its first object is asked for), so a run that is
 * repeated with the same order of calls meets the same faults.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/base';
import {
  type BlobBody,
  type BlobInfo,
  type BlobStore,
  bodyParts,
  bodySizeBytes,
  type CallOptions,
  type StorageVerb,
} from '@holdfast/storage';
import { type Fault, type FaultScript, SimulatedCrash } from './fault.ts';
import { ListHistory } from './list-history.ts';

export type StorageCall = { readonly verb: StorageVerb; readonly key: string; readonly fault: Fault | undefined };

export type FaultyStore = BlobStore & {
  /** Every call so far, first to last. */
  readonly calls: readonly StorageCall[];
  readonly crashed: boolean;
  /** Resolves when every put that was scripted to land late has landed, however many calls it still waits for. */
  landLatePuts(): Promise<void>;
};

export type FaultyStoreOptions = {
  readonly store: BlobStore;
  /** None: only counts. */
  readonly script?: FaultScript;
};

type PutOptions = CallOptions & { readonly ifAbsent?: boolean };
type LatePut = { readonly dueAtCall: number; readonly land: () => Promise<void> };

/** Disposing it leaves the store inside alone: it is what a test looks into, or opens again, after a crash. */
export function faultyStore(options: FaultyStoreOptions): FaultyStore {
  return new FaultInjector(options);
}

class FaultInjector implements FaultyStore {
  readonly calls: StorageCall[] = [];
  readonly #store: BlobStore;
  readonly #script: FaultScript;
  readonly #history = new ListHistory();
  #latePuts: LatePut[] = [];
  #crash: SimulatedCrash | undefined;

  constructor({ store, script }: FaultyStoreOptions) {
    this.#store = store;
    this.#script = script ?? (() => undefined);
  }

  get capabilities(): BlobStore['capabilities'] {
    return this.#store.capabilities;
  }

  get crashed(): boolean {
    return this.#crash !== undefined;
  }

  async put(key: string, body: BlobBody, options?: PutOptions): Promise<void> {
    const put = async (): Promise<void> => {
      await this.#store.put(key, body, options);
      this.#history.added({ key, sizeBytes: bodySizeBytes(body) }, this.calls.length);
    };
    await this.#call('put', key, async (fault) => {
      if (fault?.kind === 'crash' && fault.when === 'partial') {
        await this.#store.put(key, halfOf(body), options).catch(() => undefined);
        throw this.#die();
      }
      if (fault?.kind === 'late_put') {
        this.#latePuts.push(await latePut(this.calls.length + fault.afterCalls, key, body, this.#store, options));
        throw unreachable('put', key);
      }
      await put();
      if (fault?.kind === 'duplicate_put') await put().catch(() => undefined);
    });
  }

  get(key: string, options?: Parameters<BlobStore['get']>[1]): Promise<Buffer> {
    return this.#call('get', key, () => this.#store.get(key, options));
  }

  async *list(prefix: string, options?: CallOptions): AsyncGenerator<BlobInfo> {
    const fault = await this.#begin('list', prefix);
    const fresh = this.#store.list(prefix, options);
    const seen =
      fault?.kind === 'stale_list'
        ? this.#history.asOf({ fresh, prefix, call: this.calls.length - fault.byCalls })
        : fresh;
    try {
      for await (const info of seen) {
        if (this.#crash) throw this.#crash;
        yield info;
        if (fault?.kind === 'crash' && fault.when === 'partial') throw this.#die();
      }
    } finally {
      // Also when its consumer leaves early: the next call then finds the process dead.
      if (fault?.kind === 'crash') this.#die();
    }
    this.#end('list', prefix, fault);
  }

  async delete(key: string, options?: CallOptions): Promise<void> {
    await this.#call('delete', key, async () => {
      const info = await this.#store.head(key);
      await this.#store.delete(key, options);
      if (info) this.#history.removed(info, this.calls.length);
    });
  }

  head(key: string, options?: CallOptions): Promise<BlobInfo | undefined> {
    return this.#call('head', key, () => this.#store.head(key, options));
  }

  async landLatePuts(): Promise<void> {
    await this.#land(Number.POSITIVE_INFINITY);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #call<Result>(
    verb: StorageVerb,
    key: string,
    effect: (fault: Fault | undefined) => Promise<Result>,
  ): Promise<Result> {
    const fault = await this.#begin(verb, key);
    const result = await effect(fault);
    this.#end(verb, key, fault);
    return result;
  }

  /** Counts the call and does what its fault does before the effect. */
  async #begin(verb: StorageVerb, key: string): Promise<Fault | undefined> {
    if (this.#crash) throw this.#crash;
    const fault = this.#script({ call: this.calls.length + 1, verb, key });
    this.calls.push({ verb, key, fault });
    const call = this.calls.length;
    if (fault?.kind === 'crash' && diesBefore(verb, fault.when)) throw this.#die();
    await this.#land(call);
    if (fault?.kind === 'slow') await delay(fault.ms);
    if (fault?.kind === 'fail') {
      throw new HoldfastError(fault.code, `Scripted fault at call ${call}: ${verb} ${key}.`);
    }
    if (fault?.kind === 'late_put' && verb !== 'put') throw unreachable(verb, key);
    return fault;
  }

  /** What its fault does after the effect; a call that was under way when the process died has no result either. */
  #end(verb: StorageVerb, key: string, fault: Fault | undefined): void {
    if (fault?.kind === 'crash') this.#die();
    if (this.#crash) throw this.#crash;
    if (fault?.kind === 'lost_ack') throw unreachable(verb, key);
  }

  #die(): SimulatedCrash {
    this.#crash ??= new SimulatedCrash(`Simulated crash at call ${this.calls.length}.`);
    return this.#crash;
  }

  async #land(call: number): Promise<void> {
    const due = this.#latePuts.filter(({ dueAtCall }) => dueAtCall <= call);
    this.#latePuts = this.#latePuts.filter((late) => !due.includes(late));
    for (const { land } of due) await land();
  }
}

/** Only puts and listings have a middle. */
function diesBefore(verb: StorageVerb, when: 'before' | 'after' | 'partial'): boolean {
  return when === 'before' || (when === 'partial' && verb !== 'put' && verb !== 'list');
}

function unreachable(verb: StorageVerb, key: string): HoldfastError {
  return new HoldfastError('storage_unreachable', `Scripted fault: no answer to ${verb} ${key}.`);
}

/** Sends half of the content and breaks off, so that the driver's own atomicity is what is tested. */
function halfOf(body: BlobBody): BlobBody {
  const sizeBytes = bodySizeBytes(body);
  return {
    // One more than is sent, so that even an empty body is cut short.
    sizeBytes: sizeBytes + 1,
    open: async function* () {
      let rest = Math.floor(sizeBytes / 2);
      for await (const part of bodyParts(body)) {
        for (const buffer of part) {
          if (rest > 0) yield buffer.subarray(0, rest);
          rest -= Math.min(rest, buffer.length);
        }
      }
      throw new SimulatedCrash('Simulated crash in the middle of a put.');
    },
  };
}

/** The content is copied: the caller's buffers are its own again once its put has failed. */
async function latePut(
  dueAtCall: number,
  key: string,
  body: BlobBody,
  store: BlobStore,
  options: PutOptions | undefined,
): Promise<LatePut> {
  const buffers: Buffer[] = [];
  for await (const part of bodyParts(body)) for (const buffer of part) buffers.push(Buffer.from(buffer));
  const ifAbsent = options?.ifAbsent ?? false;
  return { dueAtCall, land: () => store.put(key, { buffers }, { ifAbsent }).catch(() => undefined) };
}
