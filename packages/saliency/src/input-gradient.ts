import { grad, memoise, type NdArray, runCompiled, type Tree } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import type { SaliencyContext } from './method.ts';
import { type Output, outputNamed } from './output.ts';

/** Inputs of the traced functions here: images `[batch, height, width, channels]`, int32 targets `[batch]`. */
export interface TracedInputs {
  readonly parameters: Tree<tf.Tensor>;
  readonly images: tf.Tensor;
  readonly targets: tf.Tensor;
}

/** Gradient of each sample's own output (the sum over the batch has the same), shaped like the images; a traced function's part. */
export function gradientOf(forward: Classifier['forward'], output: Output, inputs: TracedInputs): tf.Tensor {
  return grad((x) => tf.sum(output.ofTarget(forward(inputs.parameters, x), inputs.targets)))(inputs.images);
}

/** `[batch, height, width, channels]` -> `[batch, height, width, 1]`. */
export function sumChannels(attribution: tf.Tensor): tf.Tensor {
  return tf.sum(attribution, attribution.shape.length - 1, true);
}

const traced = memoise((forward: Classifier['forward'], output: Output) => (inputs: TracedInputs) => {
  const gradient = gradientOf(forward, output, inputs);
  return { gradient: sumChannels(gradient), product: sumChannels(tf.mul(inputs.images, gradient)) };
});

/** Gradient, and pixel times gradient, both `[batch, height, width, 1]`. */
export async function inputGradient({
  engine,
  classifier,
  images,
  targets,
  output = 'logit',
  signal,
}: SaliencyContext): Promise<{ readonly gradient: NdArray; readonly product: NdArray }> {
  signal?.throwIfAborted();
  const { parameters, forward } = classifier;
  const inputs = { parameters, images, targets };
  return runCompiled(engine, `gradient/${output}`, traced(forward, outputNamed(output)), inputs);
}
