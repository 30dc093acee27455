import { float32, int32, type NdArray, runCompiled, scalar } from '@jsigr/engine';
import type { AttackContext } from './attack.ts';
import type { AttackLoss } from './losses.ts';
import { isRandom, parametersOf } from './randomised.ts';
import type { View } from './rows.ts';
import { confineOf, lookOf, moveOf, startOf } from './step.ts';

export const UNIT_BOX = { lower: scalar(0), upper: scalar(1) } as const;

/** Numbers of one image. */
export function sizeOfImage({ images }: { readonly images: NdArray }): number {
  return images.data.length / (images.shape[0] ?? 1);
}

/** A point drawn uniformly from the ball around each image, then brought into the box. */
export async function randomStart(context: AttackContext, view: View, stream: string): Promise<NdArray> {
  const { norm, seed } = context;
  const size = sizeOfImage(view);
  return startAt(context, view, stream, (row) =>
    norm.sample({ seed, stream, step: view.attempts[row] ?? 0, sample: view.sampleIndices[row] ?? 0 }, size),
  );
}

/** `images + epsilon * unit`, confined; `unitOf` gives the numbers of a place. */
export async function startAt(
  context: AttackContext,
  view: View,
  stream: string,
  unitOf: (place: number) => Float32Array,
): Promise<NdArray> {
  const { engine, norm } = context;
  const { images, epsilon } = view;
  const size = sizeOfImage(view);
  const unit = new Float32Array(images.data.length);
  view.rows.forEach((_, place) => {
    unit.set(unitOf(place), place * size);
  });
  const inputs = { images, unit: float32(unit, images.shape), epsilon, ...UNIT_BOX };
  return (await runCompiled(engine, `${stream}/${norm.name}`, startOf(norm), inputs)).points;
}

/** The starting points; those rows for which the context gives an earlier adversarial image start at it instead, brought into the ball. */
export async function warmed(context: AttackContext, view: View, points: NdArray): Promise<NdArray> {
  const { engine, norm, starts } = context;
  if (!starts?.some((start) => start)) return points;
  const size = sizeOfImage(view);
  const data = Float32Array.from(points.data);
  view.rows.forEach((row, place) => {
    const start = starts[row];
    if (start) data.set(start, place * size);
  });
  const inputs = { images: view.images, points: float32(data, points.shape), epsilon: view.epsilon, ...UNIT_BOX };
  return (await runCompiled(engine, `confine/${norm.name}`, confineOf(norm), inputs)).points;
}

/** Classes as an int32 `[size]` array. */
export function classes(values: readonly number[]): NdArray {
  return int32([...values], [values.length]);
}

export interface Glance {
  readonly loss: NdArray;
  readonly gradient: NdArray;
  readonly wrong: NdArray;
}

/** How often a source is looked at where `averaged` looks are asked for: one that draws no random numbers shows the same each time. */
export function looksAt(source: AttackContext['source'], averaged: number): number {
  return isRandom(source) ? averaged : 1;
}

/**
 * Looks at the source: one forward and one backward pass. A source that draws random numbers is looked at `averaged` times, and its gradient and loss
 * are means (expectation over transformation, Athalye et al., arXiv 1707.07397); any other one needs a single look.
 * @param step names the random numbers.
 */
export async function glance(
  context: AttackContext,
  view: View,
  points: NdArray,
  options: { readonly loss: AttackLoss; readonly step: number; readonly targets?: NdArray; readonly averaged?: number },
): Promise<Glance> {
  const { engine, source, seed } = context;
  const { loss, step, targets = view.labels, averaged = 1 } = options;
  const times = looksAt(source, averaged);
  const looks: Glance[] = [];
  for (let i = 0; i < times; i++) {
    const parameters = parametersOf(source, { seed, ...view }, step * times + i);
    const inputs = { parameters, points, labels: view.labels, targets };
    looks.push(await runCompiled(engine, `look/${loss.name}`, lookOf(source.forward, loss), inputs));
  }
  const [first] = looks;
  if (first && looks.length === 1) return first;
  return {
    loss: mean(looks.map((each) => each.loss)),
    gradient: mean(looks.map((each) => each.gradient)),
    // Wrong more often than not.
    wrong: round(mean(looks.map((each) => each.wrong))),
  };
}

/** A step along the gradient, confined. `stepSizes` by place. */
export async function moved(
  context: AttackContext,
  view: View,
  points: NdArray,
  gradient: NdArray,
  stepSizes: readonly number[],
): Promise<NdArray> {
  const { engine, norm } = context;
  const { images, epsilon } = view;
  const stepSize = float32([...stepSizes], [stepSizes.length]);
  const inputs = { images, points, gradient, stepSize, epsilon, ...UNIT_BOX };
  return (await runCompiled(engine, `move/${norm.name}`, moveOf(norm), inputs)).points;
}

/** Entry by entry. */
export function mean(arrays: readonly NdArray[]): NdArray {
  const [first, ...rest] = arrays;
  if (!first || rest.length === 0) return first ?? float32([], [0]);
  const sum = Float64Array.from(first.data);
  for (const { data } of rest) for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (data[i] ?? 0);
  return float32(
    Float32Array.from(sum, (value) => value / arrays.length),
    first.shape,
  );
}

function round({ data, shape }: NdArray): NdArray {
  return float32(
    Float32Array.from(data, (value) => (value > 0.5 ? 1 : 0)),
    shape,
  );
}
