import * as tf from '@tensorflow/tfjs-core';
import * as ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { valueAndGrad } from '../autodiff.ts';
import { float32, spec } from '../ndarray.ts';
import { operations } from '../operations/table.ts';
import { draw, drawSource } from '../testing.ts';
import { traceFunction } from '../trace-function.ts';
import { DOMAIN, OnnxGraph } from './graph.ts';
import { lowerGraph, lowerNodes } from './lower.ts';
import { createSession } from './session.ts';

// What GPUs get: nothing that only ONNX Runtime's processor kernels know.

const cases = [...operations].flatMap(([kernel, { samples }]) =>
  samples.map((sample, i) => [kernel, i, sample] as const),
);

test.each(cases)('%s, sample %i, and its gradient are standard ONNX', (kernel, i, { inputs, call, order = 2 }) => {
  const specs = Object.fromEntries(inputs.map((source, j) => [`x${j}`, drawSource(`${kernel}${i}${j}`, source)]));
  type Tensors = Readonly<Record<string, tf.Tensor>>;
  const value = (tensors: Tensors) => call(...Object.values(tensors));
  const step = (tensors: Tensors) => {
    const isFloat = Object.values(tensors).every(({ dtype }) => dtype === 'float32');
    if (!isFloat || order === 0) return { value: value(tensors) };
    return { value: value(tensors), gradient: valueAndGrad((x: Tensors) => tf.sum(value(x)), tensors).gradient };
  };
  const { graph } = traceFunction(step as never, specs, kernel);
  const onnx = new OnnxGraph(1, { isForGpu: true });
  const { nodes } = lowerNodes(graph, onnx, (input, j) => onnx.input(`in${j}`, input.shape, input.dtype));
  expect(nodes.filter(({ domain }) => domain !== DOMAIN.standard)).toEqual([]);
});

describe('a product of batches of matrices', () => {
  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])('transposed %s and %s', async (transposeA, transposeB) => {
    const [a, b] = [draw('a', transposeA ? [2, 3, 2] : [2, 2, 3]), draw('b', transposeB ? [2, 4, 3] : [2, 3, 4])];
    const product = ({ x, y }: { x: tf.Tensor; y: tf.Tensor }) => tf.matMul(x, y, transposeA, transposeB);
    const { graph } = traceFunction(product, { x: spec(...a.shape), y: spec(...b.shape) }, 'product');
    const run = async (isForGpu: boolean) => {
      const { model } = lowerGraph(graph, 1, { isForGpu });
      const session = await createSession(model, { threads: 1, device: 'cpu' });
      const feeds = {
        in0: new ort.Tensor('float32', a.data, a.shape),
        in1: new ort.Tensor('float32', b.data, b.shape),
      };
      const { out0 } = await session.run(feeds);
      await session.release();
      return { data: out0?.data, text: Buffer.from(model).toString('latin1') };
    };
    const [standard, fused] = [await run(true), await run(false)];
    expect(fused.text).toContain('FusedMatMul');
    expect(standard.text).not.toContain('com.microsoft');
    expect(Array.from(standard.data as Float32Array)).toEqual(Array.from(fused.data as Float32Array));
  });
});

test('an operator without a standard form is an error that says where it belongs', () => {
  const graph = new OnnxGraph(1, { isForGpu: true });
  const x = graph.constant(float32([1], [1]).data, [1]);
  expect(() => graph.node('BiasGelu', [x, x], [1], { domain: DOMAIN.microsoft })).toThrow(
    /BiasGelu is no operator of standard ONNX: .* packages\/engine\/src\/onnx\/graph\.ts/,
  );
});
