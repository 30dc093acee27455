import * as tf from '@tensorflow/tfjs-core';
import { at } from '../onnx/graph.ts';
import { dimensions4 } from '../onnx/layout.ts';
import { repeatPixels } from '../onnx/pooling.ts';
import { composite, type Operation, primitive } from './operation.ts';
import { pair, single } from './rules.ts';
import { real, sample } from './samples.ts';

type ResizeAttributes = { size: readonly number[]; alignCorners: boolean; halfPixelCenters: boolean };

/** The matrix [to, from] that interpolates one axis, as TensorFlow.js places the pixels. */
function interpolation(from: number, to: number, { alignCorners, halfPixelCenters }: ResizeAttributes): tf.Tensor {
  const scale = alignCorners && to > 1 ? (from - 1) / (to - 1) : from / to;
  const weights = new Float32Array(to * from);
  for (let row = 0; row < to; row++) {
    const place = halfPixelCenters ? (row + 0.5) * scale - 0.5 : row * scale;
    const lower = Math.max(0, Math.floor(place));
    const upper = Math.min(from - 1, Math.max(0, Math.ceil(place)));
    for (const [column, weight] of [
      [lower, 1 - (place - lower)],
      [upper, place - lower],
    ] as const)
      weights[row * from + column] = (weights[row * from + column] ?? 0) + weight;
  }
  return tf.tensor(weights, [1, to, from]);
}

export const resizing = {
  ResizeNearestNeighbor: primitive<{ size: readonly number[]; alignCorners: boolean; halfPixelCenters: boolean }>({
    inputs: ['images'],
    // recorded if every pixel becomes a whole window; otherwise pixels are picked
    compose(inputs, { size, alignCorners, halfPixelCenters }) {
      const images = single(inputs);
      const [height, width] = pair(size);
      const [, h, w] = dimensions4(images.shape);
      if (!alignCorners && height % h === 0 && width % w === 0) return undefined;
      const sources = (from: number, to: number) => {
        const scale = alignCorners && to > 1 ? (from - 1) / (to - 1) : from / to;
        const place = (i: number) => (halfPixelCenters ? (i + 0.5) * scale : i * scale);
        const round = alignCorners ? Math.round : Math.floor;
        return tf.tensor1d(
          Array.from({ length: to }, (_, i) => Math.min(from - 1, round(place(i)))),
          'int32',
        );
      };
      return tf.gather(tf.gather(images, sources(h, height), 1), sources(w, width), 2);
    },
    infer(inputs, { size }) {
      const [n, , , channels] = dimensions4(single(inputs).shape);
      const attributes = { size, alignCorners: false, halfPixelCenters: false };
      return { shape: [n, ...pair(size), channels], dtype: 'float32', attributes };
    },
    gradient: ({ dy, inputs, attributes: { size } }) => [
      () => {
        const [, h, w] = dimensions4(single(inputs).shape);
        const [kh, kw] = [pair(size)[0] / h, pair(size)[1] / w];
        return tf.mul(tf.avgPool(dy as tf.Tensor4D, [kh, kw], [kh, kw], 'valid'), kh * kw);
      },
    ],
    lower: (graph, inputs, { shape }) => repeatPixels(graph, single(inputs), shape),
    samples: [
      sample([real([2, 2, 3, 3])], (x) => tf.square(tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [4, 6]))),
      sample([real([1, 3, 3, 2])], (x) => tf.square(tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [5, 4]))),
      sample([real([1, 3, 3, 2])], (x) => tf.square(tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [5, 7], true))),
      sample([real([1, 3, 3, 2])], (x) =>
        tf.square(tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [5, 4], false, true)),
      ),
    ],
  }),
  // two products with constant matrices, one for each axis
  ResizeBilinear: composite<ResizeAttributes>({
    inputs: ['images'],
    compose(inputs, attributes) {
      const images = single(inputs);
      const [n, height, width, channels] = dimensions4(images.shape);
      const [toHeight, toWidth] = [at(attributes.size, 0), at(attributes.size, 1)];
      const columns = tf.reshape(images, [n, height, width * channels]);
      const tall = tf.matMul(interpolation(height, toHeight, attributes), columns);
      const lines = tf.reshape(tall, [n * toHeight, width, channels]);
      return tf.reshape(tf.matMul(interpolation(width, toWidth, attributes), lines), [n, toHeight, toWidth, channels]);
    },
    samples: [
      sample([real([2, 3, 4, 2])], (x) => tf.square(tf.image.resizeBilinear(x as tf.Tensor4D, [5, 3]))),
      sample([real([1, 3, 3, 2])], (x) => tf.square(tf.image.resizeBilinear(x as tf.Tensor4D, [6, 7], true))),
      sample([real([1, 3, 3, 2])], (x) => tf.square(tf.image.resizeBilinear(x as tf.Tensor4D, [7, 2], false, true))),
    ],
  }),
} satisfies Record<string, Operation>;
