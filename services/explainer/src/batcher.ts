import { setImmediate } from 'node:timers/promises';

interface Waiting<Job, Result> {
  readonly job: Job;
  readonly key: string;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs jobs in batches of those that can go together (equal keys), in the order in which the first of each came. Nothing is delayed to fill a batch:
 * what arrived while the last one ran goes together.
 */
export class Batcher<Job, Result> {
  readonly #run: (jobs: readonly Job[]) => Promise<readonly Result[]>;
  readonly #keyOf: (job: Job) => string;
  readonly #largest: number;
  #waiting: Waiting<Job, Result>[] = [];
  #running = false;

  constructor(
    run: (jobs: readonly Job[]) => Promise<readonly Result[]>,
    { keyOf, largest }: { readonly keyOf: (job: Job) => string; readonly largest: number },
  ) {
    this.#run = run;
    this.#keyOf = keyOf;
    this.#largest = largest;
  }

  submit(job: Job): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, key: this.#keyOf(job), resolve, reject });
      if (!this.#running) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#running = true;
    // Messages that came together are all read before the first batch is put together.
    await setImmediate();
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      const { key } = first;
      const batch = this.#waiting.filter((each) => each.key === key).slice(0, this.#largest);
      this.#waiting = this.#waiting.filter((each) => !batch.includes(each));
      await this.#settle(batch);
      await setImmediate();
    }
    this.#running = false;
  }

  async #settle(batch: readonly Waiting<Job, Result>[]): Promise<void> {
    try {
      const results = await this.#run(batch.map(({ job }) => job));
      batch.forEach(({ resolve, reject }, i) => {
        const result = results[i];
        if (result === undefined) reject(new Error(`a batch of ${batch.length} gave ${results.length} results`));
        else resolve(result);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}
