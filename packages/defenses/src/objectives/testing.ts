import { type Engine, float32, type NdArray, specsOf, valueAndGrad } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { traced } from '../testing.ts';
import type { BatchContext, TracedBatch } from './objective.ts';
import { findObjective } from './registry.ts';

/**
 * The linear softmax model of the fixtures: logits W x + b, where all derivatives are known. x = (.3, .6, .2) gives the probabilities
 * p = (.588761, .118869, .292370); label 0; W^T (p - e_0) = (.173501, -.941347, .914030).
 */
export const W = [1, 2, -1, 0, -1, 3, 2, 0, 0.5];
export const B = [0.1, -0.2, 0];
export const X = [0.3, 0.6, 0.2];
export const CROSS_ENTROPY = 0.529735;

export const linear = (images: Tensor): Tensor =>
  tf.add(tf.matMul(tf.reshape(images, [-1, 3]) as tf.Tensor2D, tf.tensor2d(W, [3, 3]), false, true), tf.tensor1d(B));

export interface LossCase {
  /** Equal rows of the batch; 1 by default. */
  readonly copies?: number;
  readonly saliency?: readonly number[];
  readonly ramp?: number;
  /** Pixels of what `prepare` would have made. */
  readonly prepared?: Readonly<Record<string, readonly number[]>>;
  /** Pixels of the image; X by default. */
  readonly image?: readonly number[];
  /** Smoothed labels; the label itself by default. */
  readonly targets?: readonly number[];
  /** Of every image's class; none by default. */
  readonly weight?: number;
  readonly forward?: (images: Tensor) => Tensor;
  readonly classes?: number;
}

/** The loss terms of an objective on copies of a 1x3 image, with label 0. */
export async function lossTerms(
  engine: Engine,
  name: string,
  settings: object,
  {
    copies = 1,
    saliency,
    ramp = 1,
    prepared = {},
    image = X,
    targets,
    weight,
    forward = linear,
    classes = 3,
  }: LossCase = {},
): Promise<Record<string, number>> {
  const objective = findObjective(name).bind(settings);
  const repeat = (row: readonly number[]) =>
    Float32Array.from({ length: copies * row.length }, (_, i) => row[i % row.length] ?? 0);
  const pixels = (row: readonly number[]) => float32(repeat(row), [copies, 1, 3, 1]);
  const context: BatchContext = {
    seed: 4,
    step: 1,
    batchSize: copies,
    input: [1, 3, 1],
    classes,
    saliency: saliency && pixels(saliency),
  };
  const label = Array.from({ length: classes }, (_, index) => (index === 0 ? 1 : 0));
  const inputs = {
    images: pixels(image),
    labels: float32(repeat(label), [copies, classes]),
    targets: float32(repeat(targets ?? label), [copies, classes]),
    ramp: float32([ramp], []),
    ...(weight === undefined
      ? {}
      : {
          weights: float32(
            Float32Array.from({ length: copies }, () => weight),
            [copies],
          ),
        }),
    inputs: {
      ...objective.inputs(context),
      ...Object.fromEntries(Object.entries(prepared).map(([key, row]) => [key, pixels(row)])),
    },
  };
  const loss = traced<Omit<TracedBatch, 'forward'>>((batch) => objective.loss({ ...batch, forward }).terms);
  const compiled = await engine.compile(loss, specsOf(inputs));
  const terms = Object.entries((await compiled.run(inputs)) as Record<string, NdArray>);
  return Object.fromEntries(terms.map(([term, { data }]) => [term, data[0] ?? Number.NaN]));
}

/** A network of one hidden layer of two softplus units, 3 pixels to 2 classes, with its hidden biases as the only parameter. */
export const hiddenLayer = {
  weights: [1, -1, 0.5, 0.5, 2, -1],
  biases: [0.1, -0.3],
  forward: (biases: Tensor) => (images: Tensor) => {
    const hidden = tf.softplus(
      tf.add(tf.matMul(tf.reshape(images, [-1, 3]), tf.tensor2d(hiddenLayer.weights, [2, 3]), false, true), biases),
    );
    return tf.add(tf.matMul(hidden as tf.Tensor2D, tf.tensor2d([1, -0.5, -1, 2], [2, 2]), false, true), [0, 0.2]);
  },
};

/** One term of a loss on that network for copies of the image X with label 0, and its derivative by the two hidden biases. */
export async function termAndSlope(
  engine: Engine,
  name: string,
  settings: object,
  term: string,
  copies = 1,
): Promise<{ value: number; slope: readonly number[] }> {
  const objective = findObjective(name).bind(settings);
  const context = { seed: 4, step: 1, batchSize: copies, input: [1, 3, 1] as const, classes: 2, saliency: undefined };
  const inputs = {
    biases: float32(hiddenLayer.biases, [2]),
    batch: {
      images: float32(Array(copies).fill(X).flat(), [copies, 1, 3, 1]),
      labels: float32(Array(copies).fill([1, 0]).flat(), [copies, 2]),
      targets: float32(Array(copies).fill([1, 0]).flat(), [copies, 2]),
      ramp: float32([1], []),
      inputs: objective.inputs(context),
    },
  };
  const run = traced<{ biases: Tensor; batch: Omit<TracedBatch, 'forward'> }>(({ biases, batch }) => {
    const { value, gradient } = valueAndGrad(
      (variable: Tensor) =>
        objective.loss({ ...batch, forward: hiddenLayer.forward(variable) }).terms[term] ?? tf.scalar(Number.NaN),
      biases,
    );
    return { value, gradient };
  });
  const { value, gradient } = (await (await engine.compile(run, specsOf(inputs))).run(inputs)) as Record<
    string,
    NdArray
  >;
  return { value: value?.data[0] ?? Number.NaN, slope: [...(gradient?.data ?? [])] };
}
