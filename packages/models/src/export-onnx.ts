import { exportOnnx, type Tree } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import type { Classifier } from './classifier.ts';

/**
 * A classifier as an ONNX file that any runtime reads: standard operators, parameters inside, input `images` float32
 * `[N, height, width, channels]` in [0,1], output `logits` `[N, classes]`.
 * @throws EngineError UNSUPPORTED_OPERATION if the network has an operation without a standard form
 */
export function classifierToOnnx({ forward, parameters, input }: Classifier): Uint8Array {
  const network = (inputs: { readonly parameters: Tree<Tensor>; readonly images: Tensor }) =>
    forward(inputs.parameters, inputs.images);
  return exportOnnx(network as (inputs: never) => Tensor, {
    constants: { parameters },
    input: { name: 'images', spec: { shape: input, dtype: 'float32' } },
    output: 'logits',
  });
}
