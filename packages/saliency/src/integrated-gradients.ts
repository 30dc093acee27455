import { float32, memoise, type NdArray, runCompiled, scalar, zeros } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { gradientOf, sumChannels, type TracedInputs } from './input-gradient.ts';
import { defineMethod, type Explanation, type SaliencyContext } from './method.ts';
import { type Output, outputNamed } from './output.ts';
import { chunkSize, repeatAll } from './rows.ts';

/** Points of the path in one run. */
const ROWS = 64;

/** Integrated gradients, Sundararajan et al., arXiv 1703.01365, by the midpoint rule on the straight path from a uniform baseline. */
export const integratedGradients = defineMethod({
  name: 'integrated-gradients',
  summary:
    'Gradients summed along the path from a baseline; the map sums to the change of the output (Sundararajan et al. 2017)',
  settings: z.strictObject({
    steps: z.number().int().min(1).max(1000).default(32).describe('Points of the path (midpoint rule), 1..1000'),
    baseline: z.number().min(0).max(1).default(0).describe('Value of every pixel of the baseline: 0 black .. 1 white'),
  }),
  // The path, and both of its ends for the gap.
  forwards: (_, { steps }) => steps + 2,
  explain: (context, { steps, baseline }) => {
    const value = new Float32Array(context.images.data.length).fill(baseline);
    return integrate(context, float32(value, context.images.shape), steps);
  },
});

/** With any baseline, shaped like the images. The completeness gap is the sum of the map minus f(image) + f(baseline); more steps make it smaller. */
export async function integrate(context: SaliencyContext, baseline: NdArray, steps: number): Promise<Explanation> {
  const { engine, classifier, images, targets, output = 'logit', signal } = context;
  const { parameters, forward } = classifier;
  const batch = images.shape[0] ?? 1;
  const points = chunkSize(steps, ROWS / batch);
  const path = { parameters, images, baseline, targets: repeatAll(targets, points) };
  const along = gradientsAlong(forward, outputNamed(output));
  let total = zeros(images.shape);
  for (let first = 0; first < steps; first += points) {
    signal?.throwIfAborted();
    const middles = Float32Array.from({ length: points }, (_, k) => (first + k + 0.5) / steps);
    const inputs = { ...path, total, alphas: float32(middles, [points]) };
    ({ total } = await runCompiled(engine, `path/${output}`, along, inputs));
  }
  const inputs = { parameters, images, baseline, targets, total, steps: scalar(steps) };
  const finish = finishOf(forward, outputNamed(output));
  const { map, gap } = await runCompiled(engine, `completeness/${output}`, finish, inputs);
  return { map, check: { completenessGap: [...gap.data] } };
}

interface PathInputs extends TracedInputs {
  readonly baseline: tf.Tensor;
  /** The sum of gradients so far, shaped like the images. */
  readonly total: tf.Tensor;
}

/** Adds the gradients at some points of every image's path; `targets` holds the batch's once for each point. */
const gradientsAlong = memoise(
  (forward: Classifier['forward'], output: Output) => (inputs: PathInputs & { readonly alphas: tf.Tensor }) => {
    const { parameters, images, baseline, targets, total, alphas } = inputs;
    const [points = 1] = alphas.shape;
    const along = tf.reshape(alphas, [points, ...images.shape.map(() => 1)]);
    const path = tf.add(tf.expandDims(baseline, 0), tf.mul(along, tf.expandDims(tf.sub(images, baseline), 0)));
    const rows = tf.reshape(path, [-1, ...images.shape.slice(1)]);
    const gradients = gradientOf(forward, output, { parameters, images: rows, targets });
    return { total: tf.add(total, tf.sum(tf.reshape(gradients, [points, ...images.shape]), 0)) };
  },
);

const finishOf = memoise(
  (forward: Classifier['forward'], output: Output) => (inputs: PathInputs & { readonly steps: tf.Tensor }) => {
    const { parameters, images, baseline, targets, total, steps } = inputs;
    const attribution = tf.mul(tf.sub(images, baseline), tf.div(total, steps));
    const valueAt = (x: tf.Tensor) => output.ofTarget(forward(parameters, x), targets);
    const change = tf.sub(valueAt(images), valueAt(baseline));
    const sum = tf.sum(tf.reshape(attribution, [images.shape[0] ?? 1, -1]), 1);
    return { map: sumChannels(attribution), gap: tf.sub(sum, change) };
  },
);
