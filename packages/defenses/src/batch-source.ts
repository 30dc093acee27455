import { Worker } from 'node:worker_threads';
import type { Engine } from '@jsigr/engine';
import type { BatchRequest } from './batch-thread.ts';
import { type BatchCompanions, type BatchOrder, type BatchRecipe, makeBatch, type TrainingBatch } from './batches.ts';

/** Starting a thread takes about half a second of a core, and its memory holds the training images once more. */
const THREAD_SECONDS = 2;

/** After how many seconds of batches to come a thread is worth it: never where the engine has all cores, with which it would only take turns. */
export function usualThreadSeconds(
  { device, threads }: Pick<Engine['info'], 'device' | 'threads'>,
  cores: number,
): number {
  return device === 'cpu' && threads >= cores ? Number.POSITIVE_INFINITY : THREAD_SECONDS;
}

interface Ordered {
  readonly order: BatchOrder;
  readonly batch: Promise<TrainingBatch>;
}

interface Receiver {
  readonly resolve: (batch: TrainingBatch) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The batches of a run. Engines compute without returning to the event loop, so that whatever this thread makes the engine waits for: where it is
 * worth it, batches are made ahead on another thread. Nothing but time depends on that.
 */
export class BatchSource {
  readonly #recipe: BatchRecipe;
  #threadSeconds: number;
  readonly #now: () => number;
  #thread: Worker | undefined;
  /** What the thread has. */
  #companions: BatchCompanions | undefined;
  /** Asked of the thread and not yet taken, the next one first. */
  #ahead: Ordered[] = [];
  /** Of all that the thread still has to answer, those that nobody wants any more too. */
  #receivers: Receiver[] = [];
  /** The least that making a batch here took: the first ones are slow. */
  #seconds = Number.POSITIVE_INFINITY;

  /**
   * @param threadSeconds a thread is started once the batches to come would take longer than this to make
   * @param now a clock in milliseconds
   */
  constructor(recipe: BatchRecipe, threadSeconds: number, now: () => number = () => performance.now()) {
    this.#recipe = recipe;
    this.#now = now;
    this.#threadSeconds = threadSeconds;
  }

  /** Made ahead, if it is the next one that was ordered; else, and where the thread has died, made here. */
  async take(order: BatchOrder): Promise<TrainingBatch> {
    const [first] = this.#ahead;
    if (first && isSame(first.order, order)) {
      this.#ahead.shift();
      return first.batch.catch(() => this.#make(order));
    }
    this.#ahead = [];
    return this.#make(order);
  }

  #make(order: BatchOrder): TrainingBatch {
    const started = this.#now();
    const batch = makeBatch(this.#recipe, order);
    this.#seconds = Math.min(this.#seconds, (this.#now() - started) / 1000);
    return batch;
  }

  /**
   * Has batches made that will be taken next.
   * @param orders in the order in which they will be taken
   * @param left how many batches the whole run still needs
   */
  prepare(orders: readonly BatchOrder[], left: number): void {
    if (!this.#thread && !(this.#seconds * left > this.#threadSeconds)) return;
    if (this.#ahead.some(({ order }, i) => !orders[i] || !isSame(order, orders[i]))) this.#ahead = [];
    for (const order of orders.slice(this.#ahead.length)) this.#ahead.push({ order, batch: this.#ask(order) });
  }

  async close(): Promise<void> {
    const thread = this.#thread;
    this.#thread = undefined;
    this.#ahead = [];
    this.#receivers = [];
    await thread?.terminate();
  }

  #ask({ indices, epoch, companions }: BatchOrder): Promise<TrainingBatch> {
    this.#thread ??= this.#start();
    // a part of an array would be sent with all of it
    const request: BatchRequest = {
      indices: indices.slice(),
      epoch,
      ...(this.#companions && hasSame(this.#companions, companions) ? {} : { companions }),
    };
    this.#companions = companions;
    const { promise, resolve, reject } = Promise.withResolvers<TrainingBatch>();
    promise.catch(() => {}); // whoever takes it makes it; it may be that nobody does
    this.#receivers.push({ resolve, reject });
    this.#thread.postMessage(request);
    return promise;
  }

  #start(): Worker {
    const { train, ...rest } = this.#recipe;
    const { count, images, labels } = train;
    // Copies, which the thread gets: `slice` of a Node Buffer, as files are read into, is none.
    const split = { count, images: new Uint8Array(images), labels: new Uint8Array(labels) };
    const isSource = import.meta.url.endsWith('.ts');
    const thread = new Worker(new URL(`./batch-thread${isSource ? '.ts' : '.js'}`, import.meta.url), {
      workerData: { ...rest, train: split } satisfies BatchRecipe,
      transferList: [split.images.buffer, split.labels.buffer],
      ...(isSource ? { execArgv: ['--conditions=source', '--disable-warning=ExperimentalWarning'] } : {}),
    });
    thread.on('message', (batch: TrainingBatch) => this.#receivers.shift()?.resolve(batch));
    thread.once('error', (cause) => this.#lose(thread, cause));
    thread.once('exit', () => this.#lose(thread));
    return thread;
  }

  /** What is asked of a dead thread is never answered. Whatever it died of, such as a lack of memory, another one might too. */
  #lose(thread: Worker, cause?: Error): void {
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    this.#threadSeconds = Number.POSITIVE_INFINITY;
    const error = new Error('the thread that makes batches ended', { cause });
    for (const { reject } of this.#receivers.splice(0)) reject(error);
  }
}

function isSame(one: BatchOrder, other: BatchOrder): boolean {
  return (
    one.epoch === other.epoch &&
    hasSame(one.companions, other.companions) &&
    one.indices.length === other.indices.length &&
    one.indices.every((index, i) => index === other.indices[i])
  );
}

function hasSame(one: BatchCompanions, other: BatchCompanions): boolean {
  return one.maps === other.maps && one.examples === other.examples;
}
