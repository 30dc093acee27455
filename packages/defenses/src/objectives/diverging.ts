import { type Bounds, confine, type Norm } from '@jsigr/attacks';
import { float32, memoise, type NdArray, normal, scalar, specsOf, type Tree, vjp } from '@jsigr/engine';
import { type Forward } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { type Ball, ballNorm, warmth } from './inner-attack.ts';
import type { PrepareContext } from './objective.ts';

/** Standard deviation of the normal noise that TRADES' attack starts from (its authors' code): at the image itself the divergence has no slope. */
const START = 0.001;

interface DivergingAttack extends Ball {
  readonly steps: number;
  readonly stepSize?: number | undefined;
}

/** Examples that raise KL(p(x) || p(x')) within the ball as it is at this epoch, by projected gradient ascent. */
export async function divergingExamples(attack: DivergingAttack, context: PrepareContext): Promise<NdArray> {
  const { engine, classifier, images, sampleIndices, signal, epochs } = context;
  const part = warmth(attack, epochs);
  const epsilon = attack.epsilon * part;
  if (epsilon === 0) return images;
  const { parameters, forward } = classifier;
  const run = async (name: string, traced: unknown, inputs: Readonly<Record<string, Tree<NdArray>>>) =>
    (await (
      await engine.compile(traced as Parameters<typeof engine.compile>[0], specsOf(inputs), { name })
    ).run(inputs)) as Readonly<Record<string, NdArray>>;
  const norm = ballNorm(attack);
  const { clean = images } = await run('trades/clean', probabilitiesOf(forward), { parameters, images });
  const fixed = {
    parameters,
    images,
    clean,
    stepSize: scalar((attack.stepSize ?? (2.5 * attack.epsilon) / attack.steps) * part),
    epsilon: float32(
      sampleIndices.map(() => epsilon),
      [sampleIndices.length],
    ),
    lower: scalar(0),
    upper: scalar(1),
  };
  let adversarial = disturbed(context);
  for (let step = 0; step < attack.steps; step++) {
    signal?.throwIfAborted();
    ({ adversarial = images } = await run(`trades/${norm.name}`, divergenceStepOf(forward, norm), {
      ...fixed,
      adversarial,
    }));
  }
  return adversarial;
}

function disturbed({ images, seed, step, sampleIndices }: PrepareContext): NdArray {
  const moved = Float32Array.from(images.data);
  const size = moved.length / sampleIndices.length;
  sampleIndices.forEach((sample, row) => {
    normal({ seed, stream: 'trades.start', step, sample }, size).forEach((noise, i) => {
      moved[row * size + i] = (moved[row * size + i] ?? 0) + START * noise;
    });
  });
  return float32(moved, images.shape);
}

const probabilitiesOf = memoise(
  (forward: Forward) => (inputs: { readonly parameters: Tree<Tensor>; readonly images: Tensor }) => ({
    clean: tf.softmax(forward(inputs.parameters, inputs.images)),
  }),
);

interface DivergenceInputs extends Bounds {
  readonly parameters: Tree<Tensor>;
  readonly images: Tensor;
  readonly adversarial: Tensor;
  /** Probabilities `[batch, classes]` of the images themselves. */
  readonly clean: Tensor;
  readonly stepSize: Tensor;
}

/** The derivative of KL(p || q) by the logits of q is q - p. */
const divergenceStepOf = memoise((forward: Forward, norm: Norm) => (inputs: DivergenceInputs) => {
  const { value: logits, pullback } = vjp((x: Tensor) => forward(inputs.parameters, x), inputs.adversarial);
  const gradient = pullback(tf.sub(tf.softmax(logits), inputs.clean));
  const moved = tf.add(inputs.adversarial, tf.mul(norm.normalize(gradient), inputs.stepSize));
  return { adversarial: confine(norm, inputs.images, moved, inputs) };
});
