import { float32, memoise } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { repeatEach, runCompiled } from './compiled.ts';
import { gaussianArray } from './gaussian.ts';
import type { TracedInputs } from './input-gradient.ts';
import { gridPositions, interpolations, maskTable } from './masks.ts';
import { defineMethod, type SaliencyContext } from './method.ts';
import { type Output, outputNamed } from './output.ts';

/** Perturbed images in one run: enough to keep the processor busy, few enough to keep memory small. */
const ROWS = 256;

/**
 * Perturbation saliency, Greydanus et al., arXiv 1711.00138: blur the image around one place, `I' = I (1 - M) + blur(I) M`, and see how far the
 * output vector moves, `S = 1/2 ||z(I) - z(I')||^2`, on a grid; bilinear in between. Never negative. The vector is all logits (`logit`), all
 * probabilities (`probability`), or the target's cross-entropy (`loss`): only the last depends on the target.
 */
export const perturbation = defineMethod({
  name: 'perturbation',
  summary: 'How far the output moves when the image is blurred around a pixel (Greydanus et al. 2018)',
  settings: z.strictObject({
    stride: z
      .number()
      .int()
      .min(1)
      .max(64)
      .default(4)
      .describe('Pixels between the places tried, 1..64: (height/stride) (width/stride) forwards an image'),
    blurSigma: z.number().min(0.1).max(50).default(3).describe('Standard deviation of the blur, 0.1..50 pixels'),
    maskSigma: z
      .number()
      .min(0.1)
      .max(50)
      .default(2)
      .describe('Standard deviation of the blurred place, 0.1..50 pixels'),
  }),
  explain: async (context, { stride, blurSigma, maskSigma }) => {
    const [batch = 1, height = 1, width = 1] = context.images.shape;
    const grid = await gridScores(context, maskTable(height, width, stride, maskSigma), blurSigma);
    return { map: float32(upsample(grid, batch, height, width, stride), [batch, height, width, 1]) };
  },
});

/** S at every place of the grid, `[batch, places]`; `masks` is `[places, height, width]`. */
async function gridScores(context: SaliencyContext, masks: Float32Array, blurSigma: number): Promise<Float32Array> {
  const { engine, classifier, images, targets, output: name = 'logit', signal } = context;
  const { parameters, forward } = classifier;
  const [batch = 1, height = 1, width = 1] = images.shape;
  const output = outputNamed(name);
  const prepared = await runCompiled(engine, `perturbation-reference/${name}`, referenceOf(forward, output), {
    parameters,
    images,
    targets,
    blurRows: gaussianArray(height, blurSigma),
    blurColumns: gaussianArray(width, blurSigma),
  });
  const places = masks.length / (height * width);
  const runs = Math.ceil((places * batch) / ROWS);
  const each = Math.ceil(places / Math.min(runs, places));
  const fixed = { parameters, images, ...prepared, targets: repeatEach(targets, each) };
  const scores = new Float32Array(batch * places);
  for (let first = 0; first < places; first += each) {
    signal?.throwIfAborted();
    const part = new Float32Array(each * height * width); // the last part is filled up with masks of zeros, which change nothing
    part.set(masks.subarray(first * height * width, (first + each) * height * width));
    const inputs = { ...fixed, masks: float32(part, [each, height, width, 1]) };
    const found = await runCompiled(engine, `perturbation/${name}`, scoresOf(forward, output), inputs);
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

const referenceOf = memoise((forward: Classifier['forward'], output: Output) => (inputs: ReferenceInputs) => {
  const { parameters, images, targets, blurRows, blurColumns } = inputs;
  const blurred = alongAxis(2, blurColumns, alongAxis(1, blurRows, images));
  return { blurred, reference: output.vector(forward(parameters, images), targets) };
});

interface ScoreInputs extends TracedInputs {
  readonly blurred: tf.Tensor;
  /** The output vector of the image itself, `[batch, n]`. */
  readonly reference: tf.Tensor;
  readonly masks: tf.Tensor;
}

const scoresOf = memoise((forward: Classifier['forward'], output: Output) => (inputs: ScoreInputs) => {
  const { parameters, images, blurred, reference, masks, targets } = inputs;
  const [batch = 1] = images.shape;
  const [places = 1] = masks.shape;
  const change = tf.mul(tf.expandDims(masks, 0), tf.expandDims(tf.sub(blurred, images), 1));
  const perturbed = tf.reshape(tf.add(tf.expandDims(images, 1), change), [batch * places, ...images.shape.slice(1)]);
  const moved = tf.reshape(output.vector(forward(parameters, perturbed), targets), [batch, places, -1]);
  const difference = tf.sub(moved, tf.expandDims(reference, 1));
  return { scores: tf.mul(tf.scalar(0.5), tf.sum(tf.mul(difference, difference), 2)) };
});

/** A matrix applied along axis 1 or 2 of images. */
function alongAxis(axis: 1 | 2, matrix: tf.Tensor, images: tf.Tensor): tf.Tensor {
  const order = axis === 1 ? [1, 0, 2, 3] : [2, 1, 0, 3]; // swaps the axis with the first: its own inverse
  const front = tf.transpose(images, order);
  const product = tf.matMul(matrix as tf.Tensor2D, tf.reshape(front, [matrix.shape[0] ?? 1, -1]));
  return tf.transpose(tf.reshape(product, front.shape), order);
}

/** Grid values `[batch, rows * columns]` to pixels. The grid's own places keep their values, so the maximum stays what it was. */
function upsample(grid: Float32Array, batch: number, height: number, width: number, stride: number): Float32Array {
  const rows = gridPositions(height, stride);
  const columns = gridPositions(width, stride);
  const down = interpolations(height, rows);
  const across = interpolations(width, columns);
  const map = new Float32Array(batch * height * width);
  for (let image = 0; image < batch; image++) {
    const at = (row: number, column: number) => grid[(image * rows.length + row) * columns.length + column] ?? 0;
    down.forEach((y, row) => {
      across.forEach((x, column) => {
        const top = at(y.lower, x.lower) * (1 - x.weight) + at(y.lower, x.upper) * x.weight;
        const bottom = at(y.upper, x.lower) * (1 - x.weight) + at(y.upper, x.upper) * x.weight;
        map[(image * height + row) * width + column] = top * (1 - y.weight) + bottom * y.weight;
      });
    });
  }
  return map;
}
