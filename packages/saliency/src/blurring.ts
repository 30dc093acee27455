import { float32, memoise, type NdArray, runCompiled } from '@jsigr/engine';
import type { Classifier, ImageShape } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { gaussianArray } from './gaussian.ts';
import type { TracedInputs } from './input-gradient.ts';
import { gridMasks, gridPositions, type Masks, upsample } from './masks.ts';
import type { SaliencyContext } from './method.ts';
import { repeatEach, rowsAtOnce } from './rows.ts';

/** Settings of methods that blur an image place by place. */
export const blurSettings = z.strictObject({
  stride: z
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Pixels between the places tried, 1..64: (height/stride) (width/stride) forwards an image'),
  blurSigma: z.number().min(0.1).max(50).default(3).describe('Standard deviation of the blur, 0.1..50 pixels'),
  maskSigma: z.number().min(0.1).max(50).default(2).describe('Standard deviation of the blurred place, 0.1..50 pixels'),
});

/** One for each place, and one for the image as it is. */
export function blurForwards([height, width]: ImageShape, { stride }: z.output<typeof blurSettings>): number {
  return gridPositions(height, stride).length * gridPositions(width, stride).length + 1;
}

/** What a perturbation may change, and how much that counts; in traced functions. One object for each comparison: functions are compiled by it. */
export interface Comparison {
  readonly name: string;
  /** `[batch, n]` of logits `[batch, classes]`. */
  readonly vector: (logits: tf.Tensor, targets: tf.Tensor) => tf.Tensor;
  /** `[batch, places]` of the vectors of the perturbed images `[batch, places, n]`, those of the images `[batch, 1, n]` and the targets int32 `[batch]`. */
  readonly score: (perturbed: tf.Tensor, reference: tf.Tensor, targets: tf.Tensor) => tf.Tensor;
}

/**
 * Blurs each image around one place after the other, `I' = I (1 - M) + blur(I) M` (Greydanus et al., arXiv 1711.00138, section 3.1), on a grid, and scores what that
 * changes; bilinear in between: `[batch, height, width, 1]`.
 */
export async function blurredPlaceByPlace(
  context: SaliencyContext,
  comparison: Comparison,
  { stride, blurSigma, maskSigma }: z.output<typeof blurSettings>,
): Promise<NdArray> {
  const [batch = 1, height = 1, width = 1] = context.images.shape;
  const masks = gridMasks(height, width, stride, maskSigma);
  const grid = await gridScores(context, comparison, masks, blurSigma);
  const places = { rows: gridPositions(height, stride), columns: gridPositions(width, stride) };
  return float32(upsample(grid, batch, [height, width], places), [batch, height, width, 1]);
}

/** The score of every place of the grid, `[batch, places]`. */
async function gridScores(
  { engine, classifier, images, targets, signal }: SaliencyContext,
  comparison: Comparison,
  masks: Masks,
  blurSigma: number,
): Promise<Float32Array> {
  const { parameters, forward } = classifier;
  const [batch = 1, height = 1, width = 1] = images.shape;
  const { name } = comparison;
  signal?.throwIfAborted();
  const prepared = await runCompiled(engine, `${name}/reference`, referenceOf(forward, comparison), {
    parameters,
    images,
    targets,
    blurRows: gaussianArray(height, blurSigma),
    blurColumns: gaussianArray(width, blurSigma),
  });
  const places = masks.count;
  const runs = Math.ceil((places * batch) / rowsAtOnce(images.data.length / batch));
  const each = Math.ceil(places / Math.min(runs, places));
  const fixed = { parameters, images, ...prepared, targets, repeatedTargets: repeatEach(targets, each) };
  const scores = new Float32Array(batch * places);
  for (let first = 0; first < places; first += each) {
    signal?.throwIfAborted();
    const inputs = { ...fixed, masks: float32(masks.part(first, each), [each, height, width, 1]) };
    const found = await runCompiled(engine, name, scoresOf(forward, comparison), inputs);
    for (let image = 0; image < batch; image++)
      for (let place = 0; place < Math.min(each, places - first); place++)
        scores[image * places + first + place] = found.scores.data[image * each + place] ?? 0;
  }
  return scores;
}

interface ReferenceInputs extends TracedInputs {
  readonly blurRows: tf.Tensor;
  readonly blurColumns: tf.Tensor;
}

const referenceOf = memoise((forward: Classifier['forward'], { vector }: Comparison) => (inputs: ReferenceInputs) => {
  const { parameters, images, targets, blurRows, blurColumns } = inputs;
  const blurred = alongAxis(2, blurColumns, alongAxis(1, blurRows, images));
  return { blurred, reference: vector(forward(parameters, images), targets) };
});

interface ScoreInputs extends TracedInputs {
  readonly blurred: tf.Tensor;
  /** The output vector of the image itself, `[batch, n]`. */
  readonly reference: tf.Tensor;
  readonly masks: tf.Tensor;
  /** Each target once for each place, image by image. */
  readonly repeatedTargets: tf.Tensor;
}

const scoresOf = memoise((forward: Classifier['forward'], { vector, score }: Comparison) => (inputs: ScoreInputs) => {
  const { parameters, images, blurred, reference, masks, targets, repeatedTargets } = inputs;
  const [batch = 1] = images.shape;
  const [places = 1] = masks.shape;
  const change = tf.mul(tf.expandDims(masks, 0), tf.expandDims(tf.sub(blurred, images), 1));
  const perturbed = tf.reshape(tf.add(tf.expandDims(images, 1), change), [batch * places, ...images.shape.slice(1)]);
  const moved = tf.reshape(vector(forward(parameters, perturbed), repeatedTargets), [batch, places, -1]);
  return { scores: score(moved, tf.expandDims(reference, 1), targets) };
});

/** A matrix applied along axis 1 or 2 of images. */
function alongAxis(axis: 1 | 2, matrix: tf.Tensor, images: tf.Tensor): tf.Tensor {
  const order = axis === 1 ? [1, 0, 2, 3] : [2, 1, 0, 3]; // swaps the axis with the first: its own inverse
  const front = tf.transpose(images, order);
  const product = tf.matMul(matrix as tf.Tensor2D, tf.reshape(front, [matrix.shape[0] ?? 1, -1]));
  return tf.transpose(tf.reshape(product, front.shape), order);
}
