import { float32, memoise } from '@jsigr/engine';
import { type Classifier, isQueried, type QueriedClassifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';

/** Do these outputs (a row for each sample) look like those of a softmax: none negative, each row adding up to 1? */
export function looksLikeProbabilities(rows: readonly Float32Array[]): boolean {
  return (
    rows.length > 0 &&
    rows.every((row) => row.every((value) => value >= 0) && Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-3)
  );
}

/**
 * A classifier that gives probabilities, as one that gives logits: their logarithms are logits, up to a constant that no loss depends on. Attacked as it
 * is, the softmax would be taken twice and gradients would vanish.
 */
export function recovered(classifier: Classifier): Classifier {
  if (!isQueried(classifier)) return { ...classifier, forward: logarithmOf(classifier.forward) };
  const query: QueriedClassifier['query'] = async (images, signal) => {
    const { data, shape } = await classifier.query(images, signal);
    return float32(
      Float32Array.from(data, (value) => Math.log(Math.max(value, FLOOR))),
      shape,
    );
  };
  return { ...classifier, query } as QueriedClassifier;
}

/** Smallest probability that is told from zero. */
const FLOOR = 1e-30;

/** Share of the outputs in which no more than one probability is told from zero: the logarithms are flat there. */
export function flatShare(rows: readonly Float32Array[]): number {
  return rows.filter((row) => row.filter((value) => value >= FLOOR).length < 2).length / rows.length;
}

const logarithmOf = memoise(
  (forward: Classifier['forward']): Classifier['forward'] =>
    (parameters, images) =>
      tf.log(tf.maximum(forward(parameters, images), tf.scalar(FLOOR))),
);
