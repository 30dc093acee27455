import * as tf from '@tensorflow/tfjs-core';
import { blurForwards, blurredPlaceByPlace, blurSettings, type Comparison } from './blurring.ts';
import { SaliencyError } from './errors.ts';
import { defineMethod } from './method.ts';
import { outputs } from './output.ts';

/**
 * Specific and relevant feature attribution (SARFA), Puri et al., ICLR 2020, arXiv 1912.12191: blur the image around one place; what counts is that the target's
 * probability falls, `dp = p(I) - p(I')` (specific), while the other classes keep their shares among themselves, `K = 1 / (1 + KL(rest(I) || rest(I')))`
 * (relevant): `S = 2 K dp / (K + dp)` where dp > 0, otherwise 0. In [0, 1]. Always of probabilities, whether a logit or a probability is explained.
 */
export const sarfa = defineMethod({
  name: 'sarfa',
  summary: "How much the target's probability alone falls when the image is blurred around a pixel (Puri et al. 2020)",
  settings: blurSettings,
  forwards: blurForwards,
  explain: async (context, settings) => {
    if (context.output === 'loss')
      throw new SaliencyError('INVALID_SETTING', 'output', '"loss" has no meaning for sarfa: logit or probability');
    return { map: await blurredPlaceByPlace(context, specificAndRelevant, settings) };
  },
});

/** Keeps logarithms of shares finite: the square root of the smallest normal float32. */
const LEAST = 1e-19;

const specificAndRelevant: Comparison = {
  name: 'sarfa',
  vector: (logits, targets) => outputs.probability.vector(logits, targets),
  score(perturbed, reference, targets) {
    const classes = perturbed.shape[2] ?? 1;
    const isTarget = tf.expandDims(tf.cast(tf.oneHot(tf.cast(targets, 'int32'), classes), 'float32'), 1);
    const ofTarget = (probabilities: tf.Tensor) => tf.sum(tf.mul(probabilities, isTarget), 2);
    const drop = tf.relu(tf.sub(ofTarget(reference), ofTarget(perturbed)));
    const [before, after] = [reference, perturbed].map((probabilities) => {
      const others = tf.mul(probabilities, tf.sub(1, isTarget));
      return tf.maximum(tf.div(others, tf.maximum(tf.sum(others, 2, true), LEAST)), LEAST);
    }) as [tf.Tensor, tf.Tensor];
    const ratio = tf.sub(tf.log(before), tf.log(after));
    const divergence = tf.relu(tf.sum(tf.mul(tf.mul(before, tf.sub(1, isTarget)), ratio), 2)); // rounding can make a zero negative
    const kept = tf.reciprocal(tf.add(1, divergence));
    return tf.div(tf.mul(2, tf.mul(kept, drop)), tf.add(kept, drop));
  },
};
