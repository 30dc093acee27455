import type { Split } from '@jsigr/datasets';
import { type Engine, memoise, type NdArray, scalar, type Tree } from '@jsigr/engine';
import { argmax, type Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { type Batch, batchesOf } from './batches.ts';
import { runCompiled, UNIT_BOX } from './compiled.ts';
import { AttackError } from './errors.ts';
import { crossEntropy } from './losses.ts';
import type { Norm } from './norms.ts';
import { type Bounds, confine } from './step.ts';

/** What the target says of candidates, after they were brought back into the ball and the box: an attack cannot cheat. */
export interface Verdict {
  /** The image that was judged, `[batch, height, width, channels]`. */
  readonly judged: NdArray;
  /** `[batch]` each. */
  readonly predictions: readonly number[];
  readonly losses: ArrayLike<number>;
  readonly distances: ArrayLike<number>;
}

/** @throws AttackError NOT_FINITE if a candidate or a logit is not a number. */
export async function judge(
  engine: Engine,
  target: Classifier,
  batch: Batch,
  candidate: NdArray,
  norm: Norm,
  epsilon: number,
): Promise<Verdict> {
  const { images, labels } = batch;
  const inputs = { parameters: target.parameters, images, labels, candidate, epsilon: scalar(epsilon), ...UNIT_BOX };
  const name = `judge/${norm.name}`;
  const { judged, logits, loss, distance } = await runCompiled(engine, name, judgeOf(target.forward, norm), inputs);
  checkFinite(judged, batch, 'attack', 'the adversarial image');
  checkFinite(logits, batch, 'target', `a logit of ${target.id}`);
  return { judged, predictions: largest(logits), losses: loss.data, distances: distance.data };
}

/** Predicted classes of samples, in the order of `indices`. @throws AttackError NOT_FINITE if a logit is not a number. */
export async function classify(
  engine: Engine,
  classifier: Classifier,
  split: Split,
  indices: readonly number[],
  options: { readonly batchSize: number; readonly signal?: AbortSignal },
): Promise<number[]> {
  const predictions: number[] = [];
  for (const batch of batchesOf(split, classifier.input, indices, options.batchSize)) {
    options.signal?.throwIfAborted();
    const inputs = { parameters: classifier.parameters, images: batch.images };
    const { logits } = await runCompiled(engine, `logits`, logitsOf(classifier.forward), inputs);
    checkFinite(logits, batch, 'target', `a logit of ${classifier.id}`);
    predictions.push(...largest(logits).slice(0, batch.count));
  }
  return predictions;
}

interface JudgeInputs extends Bounds {
  readonly parameters: Tree<tf.Tensor>;
  readonly images: tf.Tensor;
  readonly labels: tf.Tensor;
  readonly candidate: tf.Tensor;
}

const judgeOf = memoise((forward: Classifier['forward'], norm: Norm) => (inputs: JudgeInputs) => {
  const judged = confine(norm, inputs.images, inputs.candidate, inputs);
  const logits = forward(inputs.parameters, judged);
  return {
    judged,
    logits,
    loss: crossEntropy.value(logits, inputs.labels),
    distance: norm.distance(tf.sub(judged, inputs.images)),
  };
});

const logitsOf = memoise(
  (forward: Classifier['forward']) =>
    (inputs: { readonly parameters: Tree<tf.Tensor>; readonly images: tf.Tensor }) => ({
      logits: forward(inputs.parameters, inputs.images),
    }),
);

function largest(logits: NdArray): number[] {
  const [rows = 0, classes = 0] = logits.shape;
  const scores = logits.data as Float32Array;
  return Array.from({ length: rows }, (_, row) => argmax(scores.subarray(row * classes, (row + 1) * classes)));
}

function checkFinite(array: NdArray, batch: Batch, field: string, what: string): void {
  const bad = array.data.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const row = Math.floor(bad / (array.data.length / batch.sampleIndices.length));
  throw new AttackError('NOT_FINITE', field, `${what} is ${array.data[bad]} (sample ${batch.sampleIndices[row]})`);
}
