import { type Engine, float32, memoise, type NdArray, runCompiled, type Tree } from '@jsigr/engine';
import { type Classifier, isQueried } from '@jsigr/models';
import type * as tf from '@tensorflow/tfjs-core';
import type { AttackContext } from './attack.ts';
import { losses } from './losses.ts';
import { type Asking, parametersOf } from './randomised.ts';
import { bucketOf, takeRows, type View } from './rows.ts';

// What may be asked of a model without its gradients.

interface QueryInputs {
  readonly parameters: Tree<tf.Tensor>;
  readonly points: tf.Tensor;
  readonly labels: tf.Tensor;
}

const marginsOf = memoise((forward: Classifier['forward']) => ({ parameters, points, labels }: QueryInputs) => ({
  margins: losses.margin.value(forward(parameters, points), labels, labels),
}));

export const logitsOf = memoise(
  (forward: Classifier['forward']) =>
    ({ parameters, points }: Omit<QueryInputs, 'labels'>) => ({ logits: forward(parameters, points) }),
);

/** Logits `[count, classes]` of the first `count` points, the others of which are filling: one forward pass each. */
export async function logitsAt(
  engine: Engine,
  classifier: Classifier,
  points: NdArray,
  {
    count,
    signal,
    ...asking
  }: Asking & { readonly count: number; readonly call: number; readonly signal?: AbortSignal | undefined },
): Promise<Float32Array> {
  if (isQueried(classifier)) {
    const rows = Array.from({ length: count }, (_, row) => row);
    return (await classifier.query(takeRows(points, rows), signal)).data as Float32Array;
  }
  const inputs = { parameters: parametersOf(classifier, asking, asking.call), points };
  const { logits } = await runCompiled(engine, 'logits', logitsOf(classifier.forward), inputs);
  return (logits.data as Float32Array).subarray(0, count * classifier.classes);
}

/** The best other logit minus the label's of each place: one forward pass. */
export async function margins(context: AttackContext, view: View, points: NdArray, call: number): Promise<NdArray> {
  const { engine, source, seed, signal } = context;
  if (isQueried(source)) {
    const logits = await logitsAt(engine, source, points, { seed, ...view, call, signal });
    return float32(
      view.rows.map((_, place) => marginOf(logits, view.labels.data[place] ?? 0, source.classes, place % view.count)),
      [view.rows.length],
    );
  }
  const parameters = parametersOf(source, { seed, ...view }, call);
  const inputs = { parameters, points, labels: view.labels };
  return (await runCompiled(engine, 'margins', marginsOf(source.forward), inputs)).margins;
}

/** The source's logits of any number of images that belong to the context's rows, in pieces of the batch size. */
export async function logitsOfRows(
  context: AttackContext,
  images: NdArray,
  rows: readonly number[] = context.sampleIndices.map((_, row) => row),
  call = 0,
): Promise<Float32Array[]> {
  const { engine, source, seed, sampleIndices, attempts } = context;
  const most = context.batchSize ?? sampleIndices.length;
  const found: Float32Array[] = [];
  for (let from = 0; from < rows.length; from += most) {
    const count = Math.min(most, rows.length - from);
    const places = Array.from({ length: bucketOf(count, most) }, (_, place) => from + (place < count ? place : 0));
    const asking = {
      seed,
      sampleIndices: places.map((place) => sampleIndices[rows[place] ?? 0] ?? 0),
      attempts: places.map((place) => attempts[rows[place] ?? 0] ?? 0),
    };
    const points = takeRows(images, places);
    const data = await logitsAt(engine, source, points, { ...asking, count, call, signal: context.signal });
    for (let place = 0; place < count; place++)
      found.push(data.slice(place * source.classes, (place + 1) * source.classes));
  }
  return found;
}

function marginOf(logits: Float32Array, label: number, classes: number, row: number): number {
  const own = logits.subarray(row * classes, (row + 1) * classes);
  const others = own.filter((_, k) => k !== label);
  return Math.max(...others) - (own[label] ?? 0);
}
