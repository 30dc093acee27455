import { memoise } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import { blurForwards, blurredPlaceByPlace, blurSettings, type Comparison } from './blurring.ts';
import { defineMethod } from './method.ts';
import { type Output, outputNamed } from './output.ts';

/**
 * Perturbation saliency, Greydanus et al., arXiv 1711.00138: blur the image around one place and see how far the output vector moves,
 * `S = 1/2 ||z(I) - z(I')||^2`. Never negative. The vector is all logits (`logit`), all probabilities (`probability`), or the target's
 * cross-entropy (`loss`): only the last depends on the target.
 */
export const perturbation = defineMethod({
  name: 'perturbation',
  summary: 'How far the output moves when the image is blurred around a pixel (Greydanus et al. 2018)',
  settings: blurSettings,
  forwards: blurForwards,
  explain: async (context, settings) => ({
    map: await blurredPlaceByPlace(context, halfSquaredDistance(outputNamed(context.output ?? 'logit')), settings),
  }),
});

const halfSquaredDistance = memoise(
  ({ name, vector }: Output): Comparison => ({
    name: `perturbation/${name}`,
    vector,
    score: (perturbed, reference) => tf.mul(0.5, tf.sum(tf.square(tf.sub(perturbed, reference)), 2)),
  }),
);
