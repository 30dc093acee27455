import { float32, lastFeatureMaps, type MapsOf, memoise, runCompiled } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import * as tf from '@tensorflow/tfjs-core';
import { z } from 'zod';
import { SaliencyError } from './errors.ts';
import type { TracedInputs } from './input-gradient.ts';
import { cellCentres, upsample } from './masks.ts';
import { defineMethod } from './method.ts';
import { type Output, outputNamed } from './output.ts';

/**
 * Grad-CAM, Selvaraju et al., arXiv 1610.02391, equations 1 and 2: the maps of the last convolution, weighted with their mean gradients and rectified; bilinear
 * between the centres of their cells. Never negative. Coarse, because those maps are.
 */
export const gradCam = defineMethod({
  name: 'grad-cam',
  summary: 'The maps of the last convolution, weighted with their mean gradients (Selvaraju et al. 2017)',
  settings: z.strictObject({
    maps: z
      .enum(['activation', 'linear'])
      .default('activation')
      .describe('activation: the maps after their nonlinearity; linear: before it'),
  }),
  forwards: () => 1,
  explain: async ({ engine, classifier, images, targets, output = 'logit', signal }, { maps }) => {
    signal?.throwIfAborted();
    const { parameters, forward } = classifier;
    const inputs = { parameters, images, targets };
    const weighted = traced[maps](forward, outputNamed(output));
    const { cam } = await runCompiled(engine, `grad-cam/${maps}/${output}`, weighted, inputs);
    const [batch = 1, rows = 1, columns = 1] = cam.shape;
    const [, height = 1, width = 1] = images.shape;
    const places = { rows: cellCentres(height, rows), columns: cellCentres(width, columns) };
    const map = upsample(cam.data as Float32Array, batch, [height, width], places);
    return { map: float32(map, [batch, height, width, 1]) };
  },
});

const tracedWith = (which: MapsOf) =>
  memoise((forward: Classifier['forward'], { ofTarget }: Output) => (inputs: TracedInputs) => {
    const { parameters, images, targets } = inputs;
    const found = lastFeatureMaps((x) => ofTarget(forward(parameters, x), targets), images, which);
    if (!found)
      throw new SaliencyError('INVALID_INPUT', 'classifier', 'has no convolution, whose maps grad-cam weights');
    const weights = tf.mean(found.gradient, [1, 2], true);
    return { cam: tf.relu(tf.sum(tf.mul(weights, found.maps), 3)) };
  });

const traced: Readonly<Record<MapsOf, ReturnType<typeof tracedWith>>> = {
  activation: tracedWith('activation'),
  linear: tracedWith('linear'),
};
