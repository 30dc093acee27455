import type { Tensor, Tensor4D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { filters2d, logitLayer } from '../layers.ts';
import { NORM_LAYERS } from '../norm-layers.ts';
import type { ParameterShapes } from '../parameter-shape.ts';
import type { Architecture } from './architecture.ts';

export interface VggNetwork {
  readonly name: string;
  readonly summary: string;
  /** Filters of the convolutions of each stage; 2x2 maximum pooling ends a stage. */
  readonly stages: readonly (readonly number[])[];
}

/** Simonyan and Zisserman, arXiv 1409.1556, with normalisation layers, for small images: global average and one dense layer in place of three. */
export function vggNetwork({ name, summary, stages }: VggNetwork): Architecture {
  const layersOf = (stage: number) =>
    (stages[stage] ?? []).map((filters, index, row) => ({
      name: `stage${stage + 1}.conv${index + 1}`,
      channels: row[index - 1] ?? stages[stage - 1]?.at(-1),
      filters,
    }));
  const convolutions = stages.map((_, stage) => layersOf(stage));
  return {
    name,
    summary,
    norms: ['batch', 'group'],
    hasDenoising: false,
    parameters: ([, , inputs], classes, { norm }) =>
      Object.assign(
        {},
        ...convolutions.flat().map(({ name: conv, channels = inputs, filters }) => ({
          ...filters2d(conv, 3, channels, filters),
          ...NORM_LAYERS[norm].parameters(`${conv}.norm`, filters),
        })),
        logitLayer(stages.at(-1)?.at(-1) ?? inputs, classes),
      ) as ParameterShapes,
    forward: ({ normedFilter, activate, dense }, images) => {
      const stage = (x: Tensor, row: (typeof convolutions)[number]) =>
        pool(row.reduce((y, { name: conv }) => activate(normedFilter(y, conv, 1, `${conv}.norm`)), x));
      return dense(tf.mean(convolutions.reduce(stage, images), [1, 2]), 'logits');
    },
  };
}

/** `same`, so that images of any side keep at least one pixel. */
function pool(x: Tensor): Tensor {
  return tf.maxPool(x as Tensor4D, 2, 2, 'same');
}
