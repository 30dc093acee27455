import { setImmediate } from 'node:timers/promises';
import { jointSignal } from './joint-signal.ts';

interface Waiting<Job, Result> {
  readonly job: Job;
  readonly key: string;
  readonly signal: AbortSignal;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs jobs in batches of those that can go together (equal keys), in the order in which the first of each came. Nothing is delayed to fill a batch:
 * what arrived while the last one ran goes together. A job whose caller has gone is not begun, and a batch is told to end once all of its callers have gone.
 * A result that is an error is that of its own job alone.
 */
export class Batcher<Job, Result> {
  readonly #run: (jobs: readonly Job[], signal: AbortSignal) => Promise<readonly (Result | Error)[]>;
  readonly #keyOf: (job: Job) => string;
  readonly #largest: number;
  #waiting: Waiting<Job, Result>[] = [];
  #running = false;

  constructor(
    run: (jobs: readonly Job[], signal: AbortSignal) => Promise<readonly (Result | Error)[]>,
    { keyOf, largest }: { readonly keyOf: (job: Job) => string; readonly largest: number },
  ) {
    this.#run = run;
    this.#keyOf = keyOf;
    this.#largest = largest;
  }

  submit(job: Job, signal: AbortSignal): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, key: this.#keyOf(job), signal, resolve, reject });
      if (!this.#running) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#running = true;
    // Messages that came together are all read before the first batch is put together.
    await setImmediate();
    for (let first = this.#first(); first; first = this.#first()) {
      const { key } = first;
      const batch = this.#waiting.filter((each) => each.key === key).slice(0, this.#largest);
      this.#waiting = this.#waiting.filter((each) => !batch.includes(each));
      await this.#settle(batch);
      await setImmediate();
    }
    this.#running = false;
  }

  /** Of those whose callers still wait; the others are let go. */
  #first(): Waiting<Job, Result> | undefined {
    const gone = this.#waiting.filter(({ signal }) => signal.aborted);
    for (const { reject, signal } of gone) reject(signal.reason);
    this.#waiting = this.#waiting.filter((each) => !gone.includes(each));
    return this.#waiting[0];
  }

  async #settle(batch: readonly Waiting<Job, Result>[]): Promise<void> {
    try {
      const signal = jointSignal(batch.map((each) => each.signal));
      const results = await this.#run(
        batch.map(({ job }) => job),
        signal,
      );
      batch.forEach(({ resolve, reject }, i) => {
        const result = results[i];
        if (result === undefined) reject(new Error(`a batch of ${batch.length} gave ${results.length} results`));
        else if (result instanceof Error) reject(result);
        else resolve(result);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
