import * as tf from '@tensorflow/tfjs-core';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { createEngine } from '../engine.ts';
import { float32, type NdArray, spec } from '../ndarray.ts';
import { uniform } from '../random.ts';
import { exportOnnx } from './export.ts';

const random = (stream: string, ...shape: number[]) =>
  float32(
    uniform(
      { seed: 1, stream },
      shape.reduce((a, b) => a * b),
    ).map((u) => u - 0.5),
    shape,
  );

const constants = {
  parameters: { filter: random('filter', 3, 3, 2, 5), bias: random('bias', 5), dense: random('dense', 3 * 3 * 5, 4) },
};
type Inputs = { readonly parameters: Record<string, tf.Tensor>; readonly images: tf.Tensor };

function network({ parameters: { filter, bias, dense }, images }: Inputs): tf.Tensor {
  const features = tf.relu(
    tf.add(tf.conv2d(images as tf.Tensor4D, filter as tf.Tensor4D, 2, 'same'), bias as tf.Tensor),
  );
  return tf.matMul(tf.reshape(features, [images.shape[0] ?? 0, -1]), dense as tf.Tensor2D);
}

describe('exportOnnx', () => {
  it('writes standard operators whose results are the engine’s, for any batch size', async () => {
    const file = exportOnnx(network as never, {
      constants,
      input: { name: 'images', spec: spec(6, 6, 2) },
      output: 'logits',
    });
    expect(Buffer.from(file).includes('com.microsoft')).toBe(false);
    const session = await ort.InferenceSession.create(file);
    expect(session.inputNames).toEqual(['images']);
    expect(session.outputNames).toEqual(['logits']);
    const engine = await createEngine({ threads: 1 });
    for (const batch of [1, 3, 8]) {
      const images = random('images', batch, 6, 6, 2);
      const { logits } = await session.run({
        images: new ort.Tensor('float32', images.data as Float32Array, images.shape),
      });
      const specs = {
        parameters: { filter: spec(3, 3, 2, 5), bias: spec(5), dense: spec(45, 4) },
        images: spec(batch, 6, 6, 2),
      };
      const compiled = await engine.compile((inputs) => ({ logits: network(inputs as never) }), specs);
      const expected = (await compiled.run({ ...constants, images } as never)) as unknown as { logits: NdArray };
      expect(logits?.dims).toEqual([batch, 4]);
      expected.logits.data.forEach((value, i) => {
        expect(Number(logits?.data[i])).toBeCloseTo(value, 5);
      });
    }
    await session.release();
    await engine.dispose();
  });

  it('refuses a function that needs the batch size', () => {
    const transposed = ({ images }: Inputs) => tf.reshape(images, [2, -1]);
    expect(() =>
      exportOnnx(transposed as never, { constants: {}, input: { name: 'images', spec: spec(6) }, output: 'y' }),
    ).toThrow('needs the batch size');
  });
});
