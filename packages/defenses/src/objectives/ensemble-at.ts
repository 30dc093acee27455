import { randomWords } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { adversarialExamples, attackSettings, ballRule, type InnerAttack } from './inner-attack.ts';
import { defineObjective, type PrepareContext } from './objective.ts';
import { meanCrossEntropy } from './penalties.ts';
import { withRules } from './settings.ts';
import { logitsOfBoth } from './two-images.ts';

/**
 * Tramer et al., "Ensemble Adversarial Training: Attacks and Defenses", arXiv 1705.07204: examples are crafted on fixed surrogates (and on
 * the network itself), one source a batch, so that the network cannot hide from its own attack; half the loss is that of the clean images.
 */
export const ensembleAdversarialTraining = defineObjective({
  name: 'ensemble-at',
  summary: 'cross-entropy of clean images and of examples transferred from fixed surrogates (Tramer et al. 2018)',
  source: 'Tramer et al. 2018, arXiv 1705.07204',
  settings: withRules(
    {
      ...attackSettings,
      steps: attackSettings.steps.default(1),
      stepSize: attackSettings.stepSize.describe(
        'length of a step, in units of the images; if not given epsilon with one step (FGSM), 2.5 epsilon / steps with more',
      ),
      randomStart: z.boolean().default(false).describe('start at a random point of the ball instead of the image'),
      includeSelf: z.boolean().default(true).describe('the network in training is one of the sources'),
      cleanWeight: z
        .number()
        .min(0)
        .max(1)
        .default(0.5)
        .describe('part of the loss that is of clean images, 0..1; the rest is of adversarial examples'),
    },
    [ballRule],
  ),
  bind: (settings) => ({
    needsSurrogates: true,
    inputs: () => ({}),
    prepare: async (context) => ({
      images: await adversarialExamples(attackOf(settings), context, sourceOf(context, settings.includeSelf)),
      inputs: { clean: context.images },
    }),
    loss: (batch) => {
      const { logits, others: clean } = logitsOfBoth(batch, 'clean');
      return {
        logits,
        terms: {
          crossEntropy: tf.mul(meanCrossEntropy(clean, batch), settings.cleanWeight),
          adversarial: tf.mul(meanCrossEntropy(logits, batch), 1 - settings.cleanWeight),
        },
      };
    },
  }),
});

/** One step is the paper's FGSM: from the image to the edge of the ball. */
function attackOf(settings: InnerAttack): InnerAttack {
  const { steps, stepSize, epsilon } = settings;
  return stepSize === undefined && steps === 1 && epsilon > 0 ? { ...settings, stepSize: epsilon } : settings;
}

/** Whose examples this step takes: one of the sources at random. */
function sourceOf({ classifier, surrogates, seed, step }: PrepareContext, includeSelf: boolean) {
  const sources = includeSelf ? [classifier, ...surrogates] : surrogates;
  const [word = 0] = randomWords({ seed, stream: 'ensemble.source', step }, 1);
  return sources[Math.floor((word / 2 ** 32) * sources.length)] ?? classifier;
}
