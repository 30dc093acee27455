import type * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { convolveByGroups } from '../operations/convolution.ts';
import { runKernel } from '../operations/rules.ts';
import { isTracing } from '../trace.ts';

export interface GroupedConvolution {
  readonly groups: number;
  readonly strides?: number | [number, number];
  readonly pad?: 'same' | 'valid' | number;
  readonly dilations?: number | [number, number];
}

/**
 * Convolution in groups (ResNeXt, Xie et al. 2017), which TensorFlow.js lacks: each group of C / groups neighbouring input channels makes its O / groups output
 * channels. `x` is [N, H, W, C], `filter` [kh, kw, C / groups, O], as in Keras. With C groups it is `tf.depthwiseConv2d`.
 * @throws EngineError SHAPE_MISMATCH if the groups divide C or O not, or the filter is for another number of channels
 */
export function groupedConv2d(
  x: tf.Tensor,
  filter: tf.Tensor,
  { groups, strides = 1, pad = 'same', dilations = 1 }: GroupedConvolution,
): tf.Tensor {
  const [channels, width, outputs] = [x.shape[3] ?? 0, filter.shape[2] ?? 0, filter.shape[3] ?? 0];
  if (x.rank !== 4 || filter.rank !== 4 || width * groups !== channels || outputs % groups !== 0)
    throw new EngineError(
      'SHAPE_MISMATCH',
      `groupedConv2d of images [${x.shape}] with a filter [${filter.shape}] in ${groups} groups: it takes [N, H, W, C] and [kh, kw, C / groups, O], and groups must divide C and O`,
    );
  const attributes = { strides, pad, dilations, groups };
  const operands = { x, filter };
  return isTracing()
    ? runKernel('Conv2D', operands, attributes)
    : convolveByGroups('Conv2D', operands, { ...attributes, dataFormat: 'NHWC' });
}
