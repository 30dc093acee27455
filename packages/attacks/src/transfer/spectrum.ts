import { type Engine, float32, type NdArray, runCompiled } from '@jsigr/engine';
import * as tf from '@tensorflow/tfjs-core';

interface SpectrumInputs {
  readonly points: tf.Tensor;
  readonly factors: tf.Tensor;
  /** Orthonormal cosine transforms of the two sides. */
  readonly rows: tf.Tensor;
  readonly columns: tf.Tensor;
}

/** Into the cosine spectrum, times the factors, and back. The map is symmetric: it is its own transpose. */
function inSpectrum({ points, factors, rows, columns }: SpectrumInputs) {
  const there = along(along(points, 1, rows), 2, columns);
  const back = along(along(tf.mul(there, factors), 1, tf.transpose(rows)), 2, tf.transpose(columns));
  return { points: back };
}

/** A matrix applied along one axis. */
function along(x: tf.Tensor, axis: number, matrix: tf.Tensor): tf.Tensor {
  const order = [axis, ...x.shape.map((_, i) => i).filter((i) => i !== axis)];
  const front = tf.transpose(x, order);
  const product = tf.matMul(matrix as tf.Tensor2D, tf.reshape(front, [front.shape[0] ?? 1, -1]) as tf.Tensor2D);
  const inverse = order.map((_, i) => order.indexOf(i));
  return tf.transpose(tf.reshape(product, front.shape), inverse);
}

/** Images `[batch, height, width, channels]` with their cosine spectra multiplied by the factors. */
export async function spectrum(engine: Engine, points: NdArray, factors: NdArray): Promise<NdArray> {
  const [, height = 1, width = 1] = points.shape;
  const inputs = { points, factors, rows: cosines(height), columns: cosines(width) };
  return (await runCompiled(engine, 'spectrum', inSpectrum, inputs)).points;
}

/** The orthonormal cosine transform (DCT-II) of a side. */
function cosines(side: number): NdArray {
  const data = Array.from({ length: side * side }, (_, i) => {
    const [k, n] = [Math.floor(i / side), i % side];
    return Math.sqrt((k === 0 ? 1 : 2) / side) * Math.cos((Math.PI * (2 * n + 1) * k) / (2 * side));
  });
  return float32(data, [side, side]);
}
