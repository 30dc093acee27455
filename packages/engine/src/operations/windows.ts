import * as tf from '@tensorflow/tfjs-core';
import { dimensions4 } from '../onnx/layout.ts';

export type Padding = 'same' | 'valid' | number | readonly (readonly number[])[];

export type WindowAttributes = {
  strides: number | readonly number[];
  pad: Padding;
  dilations?: number | readonly number[];
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
};

/**
 * For each place of a window the images that it sees: [N, OH, OW, C] each, in row-major order of the window. Padding is
 * filled with `fill`; `count` says how many places of each window lie inside the image ([OH, OW]).
 */
export function windowTaps(x: tf.Tensor, size: readonly [number, number], attributes: WindowAttributes, fill: number) {
  const images = dimensions4(x.shape);
  const { strides, pad, dilations = 1, dimRoundingMode } = attributes;
  const info = tf.backend_util.computePool2DInfo(
    images,
    [...size],
    strides as number | [number, number],
    dilations as number | [number, number],
    pad as 'same',
    dimRoundingMode,
  );
  const { strideHeight: sh, strideWidth: sw, dilationHeight: dh, dilationWidth: dw, outHeight, outWidth } = info;
  const { top, left } = info.padInfo;
  const [n, height, width, channels] = images;
  const reach = [
    (outHeight - 1) * sh + (size[0] - 1) * dh + sh,
    (outWidth - 1) * sw + (size[1] - 1) * dw + sw,
  ] as const;
  const [below, beside] = [Math.max(0, reach[0] - top - height), Math.max(0, reach[1] - left - width)];
  const padded = tf.pad(
    x,
    [
      [0, 0],
      [top, below],
      [left, beside],
      [0, 0],
    ],
    fill,
  );
  const places = Array.from(
    { length: size[0] * size[1] },
    (_, i) => [Math.floor(i / size[1]) * dh, (i % size[1]) * dw] as const,
  );
  const taps = places.map(([y, x0]) => {
    const part = tf.slice(padded, [0, y, x0, 0], [n, outHeight * sh, outWidth * sw, channels]);
    const split = tf.reshape(part, [n, outHeight, sh, outWidth, sw, channels]);
    return tf.reshape(tf.slice(split, [0, 0, 0, 0, 0, 0], [n, outHeight, 1, outWidth, 1, channels]), [
      n,
      outHeight,
      outWidth,
      channels,
    ]);
  });
  const inside = (position: number, size: number) => Number(position >= 0 && position < size);
  const count = Array.from({ length: outHeight * outWidth }, (_, i) => {
    const [oy, ox] = [Math.floor(i / outWidth) * sh - top, (i % outWidth) * sw - left];
    return places.reduce((sum, [y, x0]) => sum + inside(oy + y, height) * inside(ox + x0, width), 0);
  });
  return { taps, count, outHeight, outWidth };
}
