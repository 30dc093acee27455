import type { Split } from '@jsigr/datasets';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import * as z from 'zod';
import { TrainingError } from './errors.ts';

const CLASS_WEIGHTS = /^(none|balanced|\d+(\.\d+)?(,\d+(\.\d+)?)+)$/;

/** What any objective may be trained with; everything is off by default. */
export const techniquesSchema = z.strictObject({
  labelSmoothing: z
    .number()
    .min(0)
    .max(0.5)
    .default(0)
    .describe('part of every label that is spread evenly over all classes (Szegedy et al. 2016), 0..0.5; 0: off'),
  classWeights: z
    .string()
    .regex(CLASS_WEIGHTS, 'must be none, balanced, or a number a class, e.g. 1,2,0.5')
    .default('none')
    .describe(
      'weights of the cross-entropies by class: none, balanced (images / (classes * images of the class)), or a number a class, e.g. 1,2,0.5',
    ),
  gradientClip: z
    .number()
    .min(0)
    .max(1e6)
    .default(0)
    .describe(
      'longest gradient over all parameters: a longer one is shortened to it (Pascanu et al. 2013), 0..1000000; 0: off',
    ),
  averageDecay: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe(
      'decay of the moving average of the weights (Polyak and Juditsky 1992), in [0, 1), at step t at most (1 + t) / (10 + t); the average is what is evaluated and kept; 0: off',
    ),
  earlyStoppingPatience: z
    .int()
    .min(0)
    .max(10_000)
    .default(0)
    .describe(
      'epochs without better held-out accuracy after which training ends; the best epoch is the result; 0..10000, 0: off',
    ),
});

export type Techniques = z.output<typeof techniquesSchema>;

/** The techniques that act within the traced step. */
export interface TracedTechniques {
  /** What cross-entropies are taken against, from one-hot labels `[batch, classes]`. */
  readonly targets: (labels: Tensor) => Tensor;
  /** Weight `[batch]` of each sample's cross-entropy; undefined: all weigh 1. */
  readonly weights: (labels: Tensor) => Tensor | undefined;
  readonly clip: (gradient: Readonly<Record<string, Tensor>>) => Readonly<Record<string, Tensor>>;
}

export function traceTechniques(
  { labelSmoothing, gradientClip }: Pick<Techniques, 'labelSmoothing' | 'gradientClip'>,
  weights: readonly number[] | undefined,
): TracedTechniques {
  return {
    targets: (labels) =>
      labelSmoothing === 0
        ? labels
        : tf.add(tf.mul(labels, 1 - labelSmoothing), labelSmoothing / (labels.shape[1] ?? 1)),
    weights: (labels) => weights && tf.sum(tf.mul(labels, tf.tensor1d([...weights])), 1),
    clip: (gradient) => (gradientClip === 0 ? gradient : clipped(gradient, gradientClip)),
  };
}

/** All gradients times min(1, longest / length), the length taken over all of them together. */
function clipped(gradient: Readonly<Record<string, Tensor>>, longest: number): Readonly<Record<string, Tensor>> {
  // by name, so that the order in which a checkpoint lists its parameters does not change the sum's last bits
  const named = Object.entries(gradient).sort(([left], [right]) => (left < right ? -1 : 1));
  const squares = named.map(([, slope]) => tf.sum(tf.square(slope)));
  const length = tf.sqrt(squares.reduce((sum, square) => tf.add(sum, square)));
  const factor = tf.div(longest, tf.maximum(length, longest));
  return Object.fromEntries(Object.entries(gradient).map(([name, slope]) => [name, tf.mul(slope, factor)]));
}

/**
 * The weights of the classes; undefined where all weigh 1.
 * @param indices of the images that are trained on
 * @throws TrainingError INVALID_SETTING if the numbers are not as many as the classes, or none is above 0
 */
export function classWeights(
  setting: string,
  classes: number,
  { labels }: Pick<Split, 'labels'>,
  indices: ArrayLike<number>,
): readonly number[] | undefined {
  if (setting === 'none') return undefined;
  if (setting !== 'balanced') {
    const problem = classWeightsProblem(setting, classes);
    if (problem)
      throw new TrainingError('INVALID_SETTING', 'techniques.classWeights', `techniques.classWeights: ${problem}`);
    return setting.split(',').map(Number);
  }
  const counts = new Array<number>(classes).fill(0);
  for (let i = 0; i < indices.length; i++) {
    const label = labels[indices[i] ?? 0] ?? 0;
    counts[label] = (counts[label] ?? 0) + 1;
  }
  // A class without images has no cross-entropy either: its weight is never used.
  return counts.map((count) => (count === 0 ? 0 : indices.length / (classes * count)));
}

/** What is wrong with the weights for so many classes. */
export function classWeightsProblem(setting: string, classes: number): string | undefined {
  if (setting === 'none' || setting === 'balanced') return undefined;
  const weights = setting.split(',').map(Number);
  if (weights.length !== classes) return `${weights.length} numbers given, the dataset has ${classes} classes`;
  return weights.some((weight) => weight > 0) ? undefined : 'one of them must be above 0';
}
