import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { type ComposeContext, composite, type Operation } from './operation.ts';
import { real, sample } from './samples.ts';
import type { Padding } from './windows.ts';

type FusedAttributes = {
  strides: number | readonly number[];
  pad: Padding;
  dilations?: number | readonly number[];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
  activation?: string;
  leakyreluAlpha?: number;
  transposeA?: boolean;
  transposeB?: boolean;
};

type Named = (name: string) => tf.Tensor;

const activations: Readonly<Record<string, (x: tf.Tensor, named: Named, attributes: FusedAttributes) => tf.Tensor>> = {
  linear: (x) => x,
  relu: (x) => tf.relu(x),
  relu6: (x) => tf.relu6(x),
  elu: (x) => tf.elu(x),
  sigmoid: (x) => tf.sigmoid(x),
  leakyrelu: (x, _, { leakyreluAlpha }) => tf.leakyRelu(x, leakyreluAlpha),
  prelu: (x, named) => tf.prelu(x, named('preluActivationWeights')),
};

function byName(inputs: readonly tf.Tensor[], { names }: ComposeContext): Named {
  return (name) => {
    const tensor = inputs[names.indexOf(name)];
    if (!tensor) throw new EngineError('INVALID_GRAPH', `a fused operation lacks its input ${name}`);
    return tensor;
  };
}

/** A linear operation of two operands with bias and activation. */
function fused(
  operands: readonly [string, string],
  linear: (a: tf.Tensor, b: tf.Tensor, attributes: FusedAttributes) => tf.Tensor,
  samples: Operation['samples'],
): Operation {
  return composite<FusedAttributes>({
    inputs: [...operands, 'bias', 'preluActivationWeights'],
    compose(inputs, attributes, context) {
      const named = byName(inputs, context);
      const product = linear(named(operands[0]), named(operands[1]), attributes);
      const activate = activations[attributes.activation ?? 'linear'];
      if (!activate)
        throw new EngineError(
          'UNSUPPORTED_OPERATION',
          `fused activation '${attributes.activation}'; there are ${Object.keys(activations).join(', ')}`,
        );
      return activate(context.names.includes('bias') ? tf.add(product, named('bias')) : product, named, attributes);
    },
    samples,
  });
}

export const fusions = {
  FusedConv2D: fused(
    ['x', 'filter'],
    (x, filter, { strides, pad, dilations, dimRoundingMode }) =>
      tf.conv2d(
        x as tf.Tensor4D,
        filter as tf.Tensor4D,
        strides as [number, number],
        pad as 'same',
        'NHWC',
        dilations as [number, number],
        dimRoundingMode,
      ),
    [
      sample([real([1, 4, 4, 2]), real([3, 3, 2, 3]), real([3])], (x, filter, bias) =>
        tf.fused.conv2d({
          x: x as tf.Tensor4D,
          filter: filter as tf.Tensor4D,
          strides: 2,
          pad: 'same',
          bias,
          activation: 'sigmoid',
        }),
      ),
      sample(
        [real([1, 3, 3, 2]), real([2, 2, 2, 3]), real([3])],
        (x, filter, alpha) =>
          tf.fused.conv2d({
            x: x as tf.Tensor4D,
            filter: filter as tf.Tensor4D,
            strides: 1,
            pad: 'valid',
            activation: 'prelu',
            preluActivationWeights: alpha,
          }),
        { order: 1 },
      ),
    ],
  ),
  FusedDepthwiseConv2D: fused(
    ['x', 'filter'],
    (x, filter, { strides, pad, dilations, dimRoundingMode }) =>
      tf.depthwiseConv2d(
        x as tf.Tensor4D,
        filter as tf.Tensor4D,
        strides as [number, number],
        pad as 'same',
        'NHWC',
        dilations as [number, number],
        dimRoundingMode,
      ),
    [
      sample([real([1, 4, 4, 2]), real([3, 3, 2, 1]), real([2])], (x, filter, bias) =>
        tf.fused.depthwiseConv2d({
          x: x as tf.Tensor4D,
          filter: filter as tf.Tensor4D,
          strides: 1,
          pad: 'same',
          bias,
          activation: 'sigmoid',
        }),
      ),
    ],
  ),
  _FusedMatMul: fused(['a', 'b'], (a, b, { transposeA, transposeB }) => tf.matMul(a, b, transposeA, transposeB), [
    sample([real([2, 3]), real([4, 3]), real([4])], (a, b, bias) =>
      tf.fused.matMul({ a, b, transposeB: true, bias, activation: 'sigmoid' }),
    ),
  ]),
  FusedBatchNorm: composite<{ varianceEpsilon: number }>({
    inputs: ['x', 'mean', 'variance', 'scale', 'offset'],
    compose(inputs, { varianceEpsilon }, context) {
      const named = byName(inputs, context);
      const inverse = tf.rsqrt(tf.add(named('variance'), varianceEpsilon));
      const factor = context.names.includes('scale') ? tf.mul(inverse, named('scale')) : inverse;
      const scaled = tf.mul(tf.sub(named('x'), named('mean')), factor);
      return context.names.includes('offset') ? tf.add(scaled, named('offset')) : scaled;
    },
    samples: [
      sample([real([2, 2, 3, 3]), real([3]), real([3], 0.3, 2), real([3]), real([3])], (x, m, v, offset, scale) =>
        tf.square(
          tf.batchNorm(x, m as tf.Tensor1D, v as tf.Tensor1D, offset as tf.Tensor1D, scale as tf.Tensor1D, 0.1),
        ),
      ),
      sample([real([3, 2]), real([2]), real([2], 0.3, 2), real([2])], (x, m, v, scale) =>
        tf.square(tf.batchNorm(x, m as tf.Tensor1D, v as tf.Tensor1D, undefined, scale as tf.Tensor1D)),
      ),
      sample([real([3, 2]), real([2]), real([2], 0.3, 2)], (x, m, v) =>
        tf.square(tf.batchNorm(x, m as tf.Tensor1D, v as tf.Tensor1D)),
      ),
    ],
  }),
} satisfies Record<string, Operation>;
