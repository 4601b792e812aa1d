/**
 * Published events as they come, for all streams of this server together: the newest are read once and kept, so that a
 * hundred panels cost one query for an event, not a hundred. Who resumes from further back reads on their own.
 */
import type { Schema } from '@holdfast/database';
import type { Kysely } from 'kysely';
import { outboxChannel } from '@holdfast/domain';
import type { Services } from '../services.ts';
import { eventChannel, lastSeq, type PublishedEvent, publishEvents, readEvents } from './outbox.store.ts';

/** Kept in memory; about a MiB. */
const recentEvents = 1000;
/** Read at once. */
const batchEvents = 500;

export type FollowOptions = {
  /** The last event that is known already. */
  readonly afterSeq: number;
  readonly signal: AbortSignal;
};

export class EventFeed implements AsyncDisposable {
  readonly #db: Kysely<Schema>;
  readonly #onError: (error: unknown) => void;
  readonly #subscriptions = new DisposableStack();
  /** Contiguous: all events between the first and the last of them. */
  #recent: PublishedEvent[] = [];
  /** The last event that was read, or was there when the feed began. */
  #head: number;
  #next = Promise.withResolvers<void>();
  readonly #publishing = new Repeated(() => this.#publish());
  readonly #reading = new Repeated(() => this.#read());

  private constructor(db: Kysely<Schema>, head: number, onError: (error: unknown) => void) {
    this.#db = db;
    this.#head = head;
    this.#onError = onError;
  }

  /** @param onError told when the database fails; the feed goes on with the next event */
  static async open({ database }: Pick<Services, 'database'>, onError: (error: unknown) => void): Promise<EventFeed> {
    const { db } = database;
    const feed = new EventFeed(db, await lastSeq(db), onError);
    feed.#subscriptions.use(await database.listen(eventChannel, () => feed.#run(feed.#reading)));
    feed.#subscriptions.use(await database.listen(outboxChannel, () => feed.#run(feed.#publishing)));
    // Of a server that ended between a change and its publication.
    await feed.#publishing.run();
    return feed;
  }

  get head(): number {
    return this.#head;
  }

  /** All events from behind `afterSeq`, in order, each once; ends when the signal is aborted. */
  async *follow({ afterSeq, signal }: FollowOptions): AsyncGenerator<PublishedEvent, void, void> {
    let position = afterSeq;
    while (!signal.aborted) {
      const next = this.#next.promise;
      const batch = await this.#after(position);
      for (const event of batch) {
        position = event.seq;
        yield event;
        if (signal.aborted) return;
      }
      if (batch.length === 0) await untilEither(next, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscriptions.dispose();
    await Promise.allSettled([this.#publishing.settled(), this.#reading.settled()]);
  }

  #run(work: Repeated): void {
    work.run().catch(this.#onError);
  }

  async #publish(): Promise<void> {
    while ((await publishEvents(this.#db)) > 0);
  }

  async #read(): Promise<void> {
    for (;;) {
      const events = await readEvents(this.#db, { afterSeq: this.#head, limit: batchEvents });
      if (events.length === 0) return;
      this.#recent = [...this.#recent, ...events].slice(-recentEvents);
      this.#head = events.at(-1)!.seq;
      this.#next.resolve();
      this.#next = Promise.withResolvers();
    }
  }

  async #after(position: number): Promise<readonly PublishedEvent[]> {
    if (position >= this.#head) return [];
    const first = this.#recent[0];
    if (first === undefined || position < first.seq - 1) {
      return await readEvents(this.#db, { afterSeq: position, limit: batchEvents });
    }
    return this.#recent.filter(({ seq }) => seq > position);
  }
}

/** Work that is asked for again while it runs is done once more after it. */
class Repeated {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | undefined;
  #isAskedAgain = false;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  async run(): Promise<void> {
    this.#isAskedAgain = true;
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined;
    });
    await this.#running;
  }

  async settled(): Promise<void> {
    await this.#running;
  }

  async #loop(): Promise<void> {
    while (this.#isAskedAgain) {
      this.#isAskedAgain = false;
      await this.#work();
    }
  }
}

async function untilEither(next: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = (): void => aborted.resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  await Promise.race([next, aborted.promise]);
  signal.removeEventListener('abort', onAbort);
}
