import * as ort from 'onnxruntime-node';
import { sizeOf } from '../ndarray.ts';
import { convolve } from './convolution.ts';
import { encodeModel } from './encode.ts';
import { DOMAIN, OnnxGraph } from './graph.ts';
import { rows, rowsValue } from './layout.ts';
import { createSession } from './session.ts';

let detected: Promise<number> | undefined;

/**
 * Channels per block of ONNX Runtime's direct convolution on this processor: 16 (AVX-512), 8 (AVX), ... or 1 if its blocked
 * operators, which are internal to ONNX Runtime, are missing or do not do what we expect of them.
 */
export function detectBlock(): Promise<number> {
  detected ??= blockOfRuntime().then(async (block) => ((await convolutionIsRight(block)) ? block : 1));
  return detected;
}

/** ReorderInput rounds the channels up to whole blocks; 1 if there is no such operator. */
async function blockOfRuntime(): Promise<number> {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', [1, 4, 1, 1], 'float32');
  const y = graph.node('ReorderInput', [x], [], { domain: DOMAIN.blocked });
  const outputs = [{ name: 'y', node: y, dtype: 'float32' as const, hasUnknownShape: true }];
  const result = await runOnce(encodeModel([x, y], [{ name: 'x', node: x, dtype: 'float32' }], outputs), {
    x: new ort.Tensor('float32', new Float32Array(4), [1, 4, 1, 1]),
  });
  return result?.dims[1] ?? 1;
}

/** One small convolution against plain arithmetic. */
async function convolutionIsRight(block: number): Promise<boolean> {
  const shapes = { x: [1, 2, 2, block], w: [2, 2, block, block] };
  const numbers = (shape: readonly number[]) =>
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 7) % 11) - 5);
  const [images, filter] = [numbers(shapes.x), numbers(shapes.w)];
  const graph = new OnnxGraph(block);
  const [x, w] = [graph.input('x', shapes.x, 'float32'), graph.input('w', shapes.w, 'float32')];
  const geometry = { strides: [1, 1], before: [0, 0], after: [0, 0] } as const;
  const y = rows(graph, convolve(graph, rowsValue(x, 'float32'), rowsValue(w, 'float32'), geometry, [1, 1, 1, block]));
  const inputs = [
    { name: 'x', node: x, dtype: 'float32' as const },
    { name: 'w', node: w, dtype: 'float32' as const },
  ];
  const result = await runOnce(encodeModel(graph.nodes, inputs, [{ name: 'y', node: y, dtype: 'float32' }]), {
    x: new ort.Tensor('float32', images, shapes.x),
    w: new ort.Tensor('float32', filter, shapes.w),
  });
  return Array.from({ length: block }, (_, out) =>
    images.reduce((sum, value, i) => sum + value * (filter[i * block + out] ?? 0), 0),
  ).every((expected, out) => result?.data[out] === expected);
}

/** The output `y` of a model, or nothing if ONNX Runtime refuses it. */
async function runOnce(model: Uint8Array, feeds: Record<string, ort.Tensor>): Promise<ort.Tensor | undefined> {
  try {
    const session = await createSession(model, 1);
    const { y } = await session.run(feeds);
    await session.release();
    return y;
  } catch {
    return undefined; // that is an answer: these operators are not to be used
  }
}
