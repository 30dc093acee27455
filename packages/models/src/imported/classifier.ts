import { constantArrays, type Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { Classifier, ImageShape } from '../classifier.ts';
import type { Reading, ScoreKind } from './manifest.ts';
import type { Source } from './source.ts';

/** Smallest probability whose logarithm is taken: float32 knows none much smaller. */
const SMALLEST = 1e-30;

/** Logits of what the file gives: their softmax is the same. */
const LOGITS: Readonly<Record<ScoreKind, (scores: Tensor) => Tensor>> = {
  logits: (scores) => scores,
  'log-probabilities': (scores) => scores,
  probabilities: (scores) => tf.log(tf.maximum(scores, SMALLEST)),
  logit: (score) => tf.concat([tf.zerosLike(score), score], 1),
  probability: (score) => tf.log(tf.maximum(tf.concat([tf.sub(1, score), score], 1), SMALLEST)),
};

/** Numbers that a file gives for an image. */
export function columnsOf(kind: ScoreKind, classes: number): number {
  return kind === 'logit' || kind === 'probability' ? 1 : classes;
}

/** A foreign model as a classifier of images [batch, height, width, channels] in [0,1]. */
export function classifierOf(
  source: Source,
  reading: Reading,
  { input, classes, id }: { readonly input: ImageShape; readonly classes: number; readonly id: string },
): Classifier {
  const forward = (parameters: Tree<Tensor>, images: Tensor): Tensor => {
    const scores = scoresOf(source, reading, parameters as Readonly<Record<string, Tensor>>, images);
    return LOGITS[reading.scores](tf.reshape(scores, [images.shape[0] ?? 1, columnsOf(reading.scores, classes)]));
  };
  return { id, input, classes, parameters: constantArrays(source.parameters), forward };
}

/** What the file gives for images in [0,1]. */
export function scoresOf(
  source: Source,
  reading: Reading,
  parameters: Readonly<Record<string, Tensor>>,
  images: Tensor,
): Tensor {
  const { inputName, outputName } = reading;
  const scores = source.forward(parameters, { [inputName]: arranged(images, reading) })[outputName];
  if (!scores) throw new TypeError(`the imported model gave no ${outputName}`);
  return scores;
}

/** Images as the file wants them: normalised, in its order of axes, flat if it is. */
function arranged(images: Tensor, { normalization: { mean, deviation }, layout, imageShape }: Reading): Tensor {
  const isPlain = mean.every((value) => value === 0) && deviation.every((value) => value === 1);
  const factors = deviation.map((value) => 1 / value);
  const normal = isPlain ? images : tf.mul(tf.sub(images, tf.tensor1d([...mean])), tf.tensor1d(factors));
  const ordered = layout === 'NCHW' ? tf.transpose(normal, [0, 3, 1, 2]) : normal;
  return tf.reshape(ordered, [images.shape[0] ?? 1, ...imageShape]);
}
