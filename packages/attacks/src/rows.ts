import { setImmediate } from 'node:timers/promises';
import { float32, int32, type NdArray } from '@jsigr/engine';
import { isQueried, mayAsk } from '@jsigr/models';
import type { AttackContext, Cost, Outcome } from './attack.ts';

/** The rows of an attack that are still computed, filled up to one of a few sizes so that few shapes are compiled. */
export interface View {
  /** Row of the context at each place; the first one again at places from `count` on, which are filling. */
  readonly rows: readonly number[];
  readonly count: number;
  /** `[size, height, width, channels]` and `[size]`. */
  readonly images: NdArray;
  readonly labels: NdArray;
  readonly epsilon: NdArray;
  readonly epsilons: readonly number[];
  readonly attempts: readonly number[];
  readonly sampleIndices: readonly number[];
}

/** For so many steps it pays to compile more sizes, and to keep the memory that each takes, so that fewer rows are filled. */
const MANY_STEPS = 500;

/**
 * The smallest of `most`, its half, its quarter and so on that holds `count` rows, so that few sizes are compiled.
 * @param steps that are to be made in it: where they are many, there are seven sizes more between one and the next
 */
export function bucketOf(count: number, most: number, steps = 1): number {
  let size = most;
  while (size > 1 && Math.ceil(size / 2) >= count) size = Math.ceil(size / 2);
  if (steps >= MANY_STEPS) {
    const part = Math.max(Math.floor(size / 16), 1);
    size = Math.min(Math.ceil(count / part) * part, size);
  }
  return Math.max(size, count);
}

/** @param steps see `bucketOf` */
export function viewOf(context: AttackContext, rows: readonly number[], steps = 1): View {
  const size = bucketOf(rows.length, context.batchSize ?? context.epsilons.length, steps);
  const filled = Array.from({ length: size }, (_, place) => rows[place] ?? rows[0] ?? 0);
  const epsilons = filled.map((row) => context.epsilons[row] ?? 0);
  return {
    rows: filled,
    count: rows.length,
    images: takeRows(context.images, filled),
    labels: takeRows(context.labels, filled),
    epsilon: float32(epsilons, [size]),
    epsilons,
    attempts: filled.map((row) => context.attempts[row] ?? 0),
    sampleIndices: filled.map((row) => context.sampleIndices[row] ?? 0),
  };
}

/** Some rows of an array, in the order of `rows`. */
export function takeRows(array: NdArray, rows: readonly number[]): NdArray {
  const shape = [rows.length, ...array.shape.slice(1)];
  const size = array.data.length / (array.shape[0] ?? 1);
  const copy = array.dtype === 'int32' ? new Int32Array(rows.length * size) : new Float32Array(rows.length * size);
  rows.forEach((row, place) => {
    copy.set(array.data.subarray(row * size, (row + 1) * size), place * size);
  });
  return copy instanceof Int32Array ? int32(copy, shape) : float32(copy, shape);
}

/** The rows of `first` where `which` is 1, those of `second` elsewhere. */
export function choose(which: ArrayLike<number>, first: NdArray, second: NdArray): NdArray {
  const data = second.data.slice() as Float32Array;
  const size = data.length / which.length;
  for (let row = 0; row < which.length; row++)
    if (which[row]) data.set(first.data.subarray(row * size, (row + 1) * size), row * size);
  return float32(data, second.shape);
}

/** What an attack remembers from step to step: arrays with a row for each place of the view. `points` are its present images. */
export type RowState = { readonly points: NdArray } & Readonly<Record<string, NdArray>>;

/** One step of all rows. */
export interface Stride<State extends RowState> {
  readonly state: State;
  /** 1 where the model was wrong, by place; without it every row makes all steps. */
  readonly fallen?: ArrayLike<number>;
  /** Where it was wrong. */
  readonly judged?: NdArray;
}

export interface Walk<State extends RowState> {
  readonly steps: number;
  /** Passes of the start and of each step. */
  readonly startCost?: Cost;
  readonly stepCost: Cost;
  readonly start: (view: View) => Promise<Stride<State>>;
  readonly advance: (view: View, state: State, step: number) => Promise<Stride<State>>;
  /** The images of rows that never fell; by default their points. */
  readonly result?: (state: State) => NdArray;
}

const FREE: Cost = { forwards: 0, backwards: 0 };

/**
 * The loop of every iterative attack. A row that falls is left where it fell and taken out, with all rows of the same sample; when what stands fits
 * into a smaller size, it is computed in that.
 */
export async function walk<State extends RowState>(context: AttackContext, path: Walk<State>): Promise<Outcome> {
  const { images, sampleIndices, signal, onStep } = context;
  const found = new Found(images, sampleIndices);
  const result = path.result ?? ((state: State) => state.points);
  let view = viewOf(context, Array.from(sampleIndices.keys()), path.steps);
  let { state, fallen, judged } = await path.start(view);
  found.spend(view, path.startCost ?? FREE);
  let short = false;
  for (let step = 0; ; step++) {
    const places = found.take(view, fallen, judged ?? state.points, result(state));
    onStep?.(found.with(view, state.points), step);
    if (step === path.steps || places.length === 0) break;
    // Who is asked is not asked about what has fallen; who is traced is computed in one of a few shapes.
    const left = path.steps - step;
    const fits = bucketOf(places.length, context.batchSize ?? sampleIndices.length, left) < view.rows.length;
    if (fits || (isQueried(context.source) && places.length < view.count)) {
      const smaller = viewOf(
        context,
        places.map((place) => view.rows[place] ?? 0),
        left,
      );
      state = shrink(state, places, smaller.rows.length);
      view = smaller;
    }
    // What is asked next, and the judge's questions about all rows, must lie within the budget: what was found so far is to be judged.
    const mayGo = mayAsk(context.source, places.length * path.stepCost.forwards + sampleIndices.length);
    if (!mayGo || context.isSpent?.(found.passes)) {
      short = true;
      break;
    }
    await setImmediate(); // the engine holds the event loop: let an abort arrive
    signal?.throwIfAborted();
    found.spend(view, path.stepCost);
    ({ state, fallen, judged } = await path.advance(view, state, step + 1));
  }
  found.keep(view, result(state));
  return { ...found.outcome(), ...(short && { short }) };
}

function shrink<State extends RowState>(state: State, places: readonly number[], size: number): State {
  const filled = Array.from({ length: size }, (_, place) => places[place] ?? places[0] ?? 0);
  return Object.fromEntries(Object.entries(state).map(([name, array]) => [name, takeRows(array, filled)])) as State;
}

/** The images that were found, and what they cost. */
class Found {
  readonly #images: NdArray;
  readonly #samples: readonly number[];
  readonly #size: number;
  readonly #adversarial: Float32Array;
  readonly #done: boolean[];
  readonly #forwards: number[];
  readonly #backwards: number[];

  constructor(images: NdArray, samples: readonly number[]) {
    this.#images = images;
    this.#samples = samples;
    this.#size = images.data.length / samples.length;
    this.#adversarial = Float32Array.from(images.data);
    this.#done = samples.map(() => false);
    this.#forwards = samples.map(() => 0);
    this.#backwards = samples.map(() => 0);
  }

  /** Of all rows together. */
  get passes(): Cost {
    const total = (numbers: readonly number[]) => numbers.reduce((sum, each) => sum + each, 0);
    return { forwards: total(this.#forwards), backwards: total(this.#backwards) };
  }

  spend(view: View, { forwards, backwards }: Cost): void {
    for (const row of view.rows.slice(0, view.count)) {
      if (this.#done[row]) continue;
      this.#forwards[row] = (this.#forwards[row] ?? 0) + forwards;
      this.#backwards[row] = (this.#backwards[row] ?? 0) + backwards;
    }
  }

  /** Takes out what fell, and the rows of the same samples. @returns the places of what still stands. */
  take(view: View, fallen: ArrayLike<number> | undefined, judged: NdArray, result: NdArray): number[] {
    const standing = view.rows.slice(0, view.count).map((row, place) => ({ row, place }));
    const open = standing.filter(({ row }) => !this.#done[row]);
    const fell = open.filter(({ place }) => (fallen?.[place] ?? 0) > 0);
    for (const each of fell) this.#set(each, judged);
    const samples = new Set(fell.map(({ row }) => this.#samples[row]));
    for (const each of open) if (!this.#done[each.row] && samples.has(this.#samples[each.row])) this.#set(each, result);
    return open.filter(({ row }) => !this.#done[row]).map(({ place }) => place);
  }

  /** What never fell. */
  keep(view: View, result: NdArray): void {
    view.rows.slice(0, view.count).forEach((row, place) => {
      if (!this.#done[row]) this.#set({ row, place }, result);
    });
  }

  /** All rows: those of the view as they are now. */
  with(view: View, points: NdArray): NdArray {
    const all = this.#adversarial.slice();
    view.rows.slice(0, view.count).forEach((row, place) => {
      if (!this.#done[row]) all.set(this.#row(points, place), row * this.#size);
    });
    return float32(all, this.#images.shape);
  }

  outcome(): Outcome {
    const adversarial = float32(this.#adversarial, this.#images.shape);
    return { adversarial, forwards: this.#forwards, backwards: this.#backwards };
  }

  #set({ row, place }: { readonly row: number; readonly place: number }, from: NdArray): void {
    this.#adversarial.set(this.#row(from, place), row * this.#size);
    this.#done[row] = true;
  }

  #row(array: NdArray, place: number): Float32Array {
    return array.data.subarray(place * this.#size, (place + 1) * this.#size) as Float32Array;
  }
}
