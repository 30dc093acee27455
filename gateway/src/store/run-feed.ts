import { RunEvent } from '@jsigr/proto';
import { Condition, JsigrError } from '@jsigr/service';
import type { RunChanges } from './run-changes.ts';
import { isFinal } from './state-machine.ts';

/** What a feed keeps for those who are a little behind: so many events, and so many bytes of them at most. */
const TAIL_EVENTS = 256;
const TAIL_BYTES = 1024 * 1024;

/** Events of a run after a sequence number, from the database. */
export type ReadEvents = (run: string, afterSequence: number) => Promise<readonly RunEvent[]>;

/** Live events of runs that somebody follows: each is read from the database once, however many follow its run. */
export class RunFeeds {
  readonly #feeds = new Map<string, RunFeed>();
  readonly #changes: RunChanges;
  readonly #read: ReadEvents;

  constructor(changes: RunChanges, read: ReadEvents) {
    this.#changes = changes;
    this.#read = read;
  }

  /**
   * Events after this one as they come, in order. Ends after the event of a final state, and for whoever falls so far behind that the next one is
   * kept no longer: it reads what it missed from the database, and follows again.
   * @throws JsigrError when the database cannot be read; the signal's reason once it is aborted.
   */
  async *follow(run: string, afterSequence: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    const feed = this.#feeds.get(run) ?? this.#open(run, afterSequence);
    feed.followers++;
    try {
      yield* feed.after(afterSequence, signal);
    } finally {
      feed.followers--;
      if (feed.followers === 0) this.#close(run, feed);
    }
  }

  #open(run: string, afterSequence: number): RunFeed {
    const feed = new RunFeed(afterSequence);
    this.#feeds.set(run, feed);
    // Whoever comes after the end has a new one.
    void feed.fill(run, this.#changes, this.#read).finally(() => this.#close(run, feed));
    return feed;
  }

  #close(run: string, feed: RunFeed): void {
    feed.close();
    if (this.#feeds.get(run) === feed) this.#feeds.delete(run);
  }
}

/** The newest events of one run. */
class RunFeed {
  followers = 0;
  readonly #closing = new AbortController();
  readonly #changed = new Condition();
  readonly #tail: { readonly event: RunEvent; readonly bytes: number }[] = [];
  #bytes = 0;
  /** The tail holds the events after this one, up to the newest. */
  #from: number;
  #newest: number;
  /** Nothing follows: the run has ended, or it could not be read. */
  #end: { readonly error?: JsigrError } | undefined;

  constructor(afterSequence: number) {
    this.#from = afterSequence;
    this.#newest = afterSequence;
  }

  /** Reads events as they are written, until the run has ended or the feed is closed. Never rejects. */
  async fill(run: string, changes: RunChanges, read: ReadEvents): Promise<void> {
    try {
      while (!this.#end) {
        const gaps = changes.gaps;
        const events = await read(run, this.#newest);
        if (events.length > 0) this.#add(events);
        else await changes.after(run, this.#newest, { gaps, signal: this.#closing.signal });
      }
    } catch (error) {
      this.#end = { error: JsigrError.from(error) };
      this.#changed.notify();
    }
  }

  close(): void {
    this.#closing.abort();
  }

  async *after(afterSequence: number, signal: AbortSignal): AsyncGenerator<RunEvent> {
    for (let last = afterSequence; ; ) {
      await this.#changed.until(() => this.#newest > last || this.#end !== undefined, { signal });
      if (last < this.#from) return;
      const first = this.#tail.findIndex(({ event }) => event.sequence > last);
      if (first < 0 && this.#end?.error) throw this.#end.error;
      if (first < 0) return;
      for (const { event } of this.#tail.slice(first)) {
        yield event;
        last = event.sequence;
      }
    }
  }

  #add(events: readonly RunEvent[]): void {
    for (const event of events) {
      const bytes = RunEvent.encode(event).finish().length;
      this.#tail.push({ event, bytes });
      this.#bytes += bytes;
      this.#newest = event.sequence;
      if (event.payload?.$case === 'stateChanged' && isFinal(event.payload.value.state)) this.#end = {};
    }
    while (this.#tail.length > TAIL_EVENTS || (this.#bytes > TAIL_BYTES && this.#tail.length > 1)) {
      const dropped = this.#tail.shift();
      this.#bytes -= dropped?.bytes ?? 0;
      this.#from = dropped?.event.sequence ?? this.#from;
    }
    this.#changed.notify();
  }
}
