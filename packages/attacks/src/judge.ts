import type { Split } from '@jsigr/datasets';
import { type Engine, float32, memoise, type NdArray, runCompiled, type Tree } from '@jsigr/engine';
import { argmax, type Classifier, isQueried, type QueriedClassifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { piecesOf, type Samples, samplesOf } from './batches.ts';
import { UNIT_BOX } from './compiled.ts';
import { AttackError } from './errors.ts';
import { crossEntropy } from './losses.ts';
import type { Norm } from './norms.ts';
import { logitsAt } from './queries.ts';
import { parametersOf } from './randomised.ts';
import { bucketOf, takeRows } from './rows.ts';
import { type Bounds, confine } from './step.ts';

/** What the target says of candidates, after they were brought back into the ball and the box: an attack cannot cheat. */
export interface Verdict {
  /** The image that was judged. */
  readonly image: Float32Array;
  readonly prediction: number;
  readonly loss: number;
  readonly distance: number;
}

export interface JudgeOptions {
  readonly engine: Engine;
  readonly target: Classifier;
  readonly norm: Norm;
  readonly seed: number;
  /** Shapes that are compiled are this and a few fractions of it. */
  readonly batchSize: number;
}

/**
 * Judges `[rows]` candidates, at most a batch of them, each with its own radius.
 * @throws AttackError NOT_FINITE if a candidate or a logit is not a number.
 */
export async function judge(
  { engine, target, norm, seed, batchSize }: JudgeOptions,
  samples: Samples,
  candidate: NdArray,
  epsilons: readonly number[],
): Promise<Verdict[]> {
  const count = epsilons.length;
  const places = fill(count, bucketOf(count, batchSize));
  const sampleIndices = places.map((place) => samples.sampleIndices[place] ?? 0);
  const confining = {
    images: takeRows(samples.images, places),
    candidate: takeRows(candidate, places),
    epsilon: float32(
      places.map((place) => epsilons[place] ?? 0),
      [places.length],
    ),
    ...UNIT_BOX,
  };
  const labels = takeRows(samples.labels, places);
  const asking = { seed, sampleIndices, attempts: places.map(() => JUDGE) };
  const { judged, logits, loss, distance } = isQueried(target)
    ? await asked(engine, target, norm, confining, [...labels.data].slice(0, count))
    : await runCompiled(engine, `judge/${norm.name}`, judgeOf(target.forward, norm), {
        ...confining,
        labels,
        parameters: parametersOf(target, asking, 0),
      });
  checkFinite(judged, sampleIndices, 'attack', 'the adversarial image');
  checkFinite(logits, sampleIndices, 'target', `a logit of ${target.id}`);
  const predictions = largest(logits);
  const size = judged.data.length / (judged.shape[0] ?? 1);
  return Array.from({ length: count }, (_, row) => ({
    image: (judged.data as Float32Array).subarray(row * size, (row + 1) * size),
    prediction: predictions[row] ?? 0,
    loss: loss.data[row] ?? 0,
    distance: distance.data[row] ?? 0,
  }));
}

/** Random numbers of the judge are none that an attack has seen. */
const JUDGE = 2 ** 31;

/** Logits of samples, `[classes]` each, in the order of `indices`. @throws AttackError NOT_FINITE if a logit is not a number. */
export async function logitsOfSamples(
  engine: Engine,
  classifier: Classifier,
  split: Split,
  indices: readonly number[],
  options: { readonly batchSize: number; readonly seed?: number; readonly signal?: AbortSignal },
): Promise<Float32Array[]> {
  const found: Float32Array[] = [];
  for (const piece of piecesOf(indices, options.batchSize)) {
    options.signal?.throwIfAborted();
    const places = fill(piece.length, bucketOf(piece.length, options.batchSize));
    const { images, sampleIndices } = samplesOf(
      split,
      classifier.input,
      places.map((place) => piece[place] ?? 0),
    );
    const asking = { seed: options.seed ?? 0, sampleIndices, attempts: places.map(() => JUDGE) };
    const { signal } = options;
    const data = await logitsAt(engine, classifier, images, { ...asking, count: piece.length, call: 1, signal });
    checkFinite(float32(data, [piece.length, classifier.classes]), piece, 'target', `a logit of ${classifier.id}`);
    for (let row = 0; row < piece.length; row++)
      found.push(data.slice(row * classifier.classes, (row + 1) * classifier.classes));
  }
  return found;
}

/** Predicted classes of samples, in the order of `indices`. @throws AttackError NOT_FINITE if a logit is not a number. */
export async function classify(
  engine: Engine,
  classifier: Classifier,
  split: Split,
  indices: readonly number[],
  options: { readonly batchSize: number; readonly seed?: number; readonly signal?: AbortSignal },
): Promise<number[]> {
  return (await logitsOfSamples(engine, classifier, split, indices, options)).map(argmax);
}

/** 0..count-1, then 0 again up to the size. */
function fill(count: number, size: number): number[] {
  return Array.from({ length: size }, (_, place) => (place < count ? place : 0));
}

type Confining = Bounds & { readonly images: tf.Tensor; readonly candidate: tf.Tensor };

const confinedOf = memoise((norm: Norm) => (inputs: Confining) => {
  const judged = confine(norm, inputs.images, inputs.candidate, inputs);
  return { judged, distance: norm.distance(tf.sub(judged, inputs.images)) };
});

/** The verdict of a target that can only be asked; filling is not asked about. */
async function asked(
  engine: Engine,
  target: QueriedClassifier,
  norm: Norm,
  inputs: Readonly<Record<string, NdArray>>,
  labels: readonly number[],
) {
  const { judged, distance } = await runCompiled(engine, `confine/${norm.name}/distance`, confinedOf(norm), inputs);
  const rows = labels.map((_, row) => row);
  const logits = await target.query(takeRows(judged, rows));
  const loss = labels.map((label, row) => entropyOf(logits.data, label, target.classes, row));
  return { judged: takeRows(judged, rows), logits, loss: float32(loss, [labels.length]), distance };
}

/** Cross-entropy of the label: the logarithm of the sum of exponentials, less the label's logit. */
function entropyOf(logits: ArrayLike<number>, label: number, classes: number, row: number): number {
  const own = Array.from({ length: classes }, (_, k) => logits[row * classes + k] ?? 0);
  const largest = Math.max(...own);
  return Math.log(own.reduce((sum, logit) => sum + Math.exp(logit - largest), 0)) + largest - (own[label] ?? 0);
}

interface JudgeInputs extends Bounds {
  readonly parameters: Tree<tf.Tensor>;
  readonly images: tf.Tensor;
  readonly labels: tf.Tensor;
  readonly candidate: tf.Tensor;
}

const judgeOf = memoise((forward: Classifier['forward'], norm: Norm) => (inputs: JudgeInputs) => {
  const { parameters, images, labels, candidate } = inputs;
  const judged = confine(norm, images, candidate, inputs);
  const logits = forward(parameters, judged);
  return {
    judged,
    logits,
    loss: crossEntropy.value(logits, labels, labels),
    distance: norm.distance(tf.sub(judged, images)),
  };
});

function largest(logits: NdArray): number[] {
  const [rows = 0, classes = 0] = logits.shape;
  const scores = logits.data as Float32Array;
  return Array.from({ length: rows }, (_, row) => argmax(scores.subarray(row * classes, (row + 1) * classes)));
}

function checkFinite(array: NdArray, samples: readonly number[], field: string, what: string): void {
  const bad = array.data.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const row = Math.floor(bad / (array.data.length / (array.shape[0] ?? 1)));
  throw new AttackError('NOT_FINITE', field, `${what} is ${array.data[bad]} (sample ${samples[row]})`);
}
