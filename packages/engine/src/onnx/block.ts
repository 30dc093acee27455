import './no-telemetry.ts';
import * as ort from 'onnxruntime-node';
import { sizeOf } from '../ndarray.ts';
import { convolve } from './convolution.ts';
import { encodeModel } from './encode.ts';
import { convolveFilterGradient } from './filter-gradient.ts';
import { at, DOMAIN, OnnxGraph } from './graph.ts';
import { rows, rowsValue, type Value } from './layout.ts';
import { createSession } from './session.ts';

let detected: Promise<number> | undefined;

/**
 * Channels per block of ONNX Runtime's direct convolution on this processor: 16 (AVX-512), 8 (AVX), ... or 1 if its blocked
 * operators, which are internal to ONNX Runtime, are missing or do not do what we expect of them.
 */
export function detectBlock(): Promise<number> {
  detected ??= blockOfRuntime().then(async (block) =>
    (await convolutionIsRight(block, 1)) &&
    (await convolutionIsRight(block, 2)) &&
    (await depthwiseIsRight(block)) &&
    (await filterGradientIsRight(block))
      ? block
      : 1,
  );
  return detected;
}

/** ReorderInput rounds the channels up to whole blocks; 1 if there is no such operator. */
async function blockOfRuntime(): Promise<number> {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', [1, 4, 1, 1], 'float32');
  const y = graph.node('ReorderInput', [x], [], { domain: DOMAIN.blocked });
  const outputs = [{ name: 'y', node: y, dtype: 'float32' as const, hasUnknownShape: true }];
  const result = await runOnce(
    encodeModel({ nodes: [x, y], inputs: [{ name: 'x', node: x, dtype: 'float32' }], outputs }),
    {
      x: new ort.Tensor('float32', new Float32Array(4), [1, 4, 1, 1]),
    },
  );
  return result?.dims[1] ?? 1;
}

const GEOMETRY = { strides: [1, 1], before: [0, 0], after: [0, 0], groups: 1 } as const;

/** Small whole numbers, so that sums are exact in any order. */
function numbers(shape: readonly number[]): Float32Array {
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) => ((i * 7) % 11) - 5);
}

/** One window over a small image, in groups of a block of channels, against plain arithmetic. */
function convolutionIsRight(block: number, groups: number): Promise<boolean> {
  const channels = groups * block;
  const [a, b] = [
    [1, 2, 2, channels],
    [2, 2, block, channels],
  ];
  const [images, filter] = [numbers(a), numbers(b)];
  const expected = Array.from({ length: channels }, (_, out) => {
    const group = Math.floor(out / block);
    return images.reduce((sum, value, i) => {
      const [pixel, channel] = [Math.floor(i / channels), i % channels];
      if (Math.floor(channel / block) !== group) return sum;
      return sum + value * at(filter, (pixel * block + (channel % block)) * channels + out);
    }, 0);
  });
  const geometry = { ...GEOMETRY, groups };
  return isRight(block, [a, b], (graph, x, w) => convolve(graph, x, w, geometry, [1, 1, 1, channels]), expected);
}

/** One window over a small image, every channel by itself. */
function depthwiseIsRight(block: number): Promise<boolean> {
  const [a, b] = [
    [1, 2, 2, block],
    [2, 2, 1, block],
  ];
  const [images, filter] = [numbers(a), numbers(b)];
  const expected = Array.from({ length: block }, (_, channel) =>
    [0, 1, 2, 3].reduce((sum, pixel) => {
      const place = pixel * block + channel;
      return sum + at(images, place) * at(filter, place);
    }, 0),
  );
  const geometry = { ...GEOMETRY, groups: block };
  return isRight(block, [a, b], (graph, x, w) => convolve(graph, x, w, geometry, [1, 1, 1, block]), expected);
}

/** A filter gradient over two groups of images, each one row of pixels, against plain arithmetic. */
function filterGradientIsRight(block: number): Promise<boolean> {
  const [width, taps] = [3, 2];
  const outWidth = width - taps + 1;
  const [a, b] = [
    [block, 1, width, block],
    [block, 1, outWidth, block],
  ];
  const [images, dy] = [numbers(a), numbers(b)];
  const expected = Array.from({ length: taps * block * block }, (_, i) => {
    const [tap, channel, out] = [Math.floor(i / block / block), Math.floor(i / block) % block, i % block];
    let sum = 0;
    for (let n = 0; n < block; n++)
      for (let w = 0; w < outWidth; w++)
        sum += at(images, (n * width + w + tap) * block + channel) * at(dy, (n * outWidth + w) * block + out);
    return sum;
  });
  const shape = [1, taps, block, block];
  return isRight(block, [a, b], (graph, x, d) => convolveFilterGradient(graph, x, d, GEOMETRY, shape), expected);
}

/** Whether a graph of two inputs, filled with `numbers`, gives exactly what is expected. */
async function isRight(
  block: number,
  [a, b]: readonly [readonly number[], readonly number[]],
  build: (graph: OnnxGraph, a: Value, b: Value) => Value,
  expected: readonly number[],
): Promise<boolean> {
  const graph = new OnnxGraph(block);
  const [x, w] = [graph.input('x', a, 'float32'), graph.input('w', b, 'float32')];
  const y = rows(graph, build(graph, rowsValue(x, 'float32'), rowsValue(w, 'float32')));
  const inputs = [
    { name: 'x', node: x, dtype: 'float32' as const },
    { name: 'w', node: w, dtype: 'float32' as const },
  ];
  const outputs = [{ name: 'y', node: y, dtype: 'float32' as const }];
  const result = await runOnce(encodeModel({ nodes: graph.nodes, inputs, outputs }), {
    x: new ort.Tensor('float32', numbers(a), a),
    w: new ort.Tensor('float32', numbers(b), b),
  });
  return expected.every((value, i) => result?.data[i] === value);
}

/** The output `y` of a model, or nothing if ONNX Runtime refuses it. */
async function runOnce(model: Uint8Array, feeds: Record<string, ort.Tensor>): Promise<ort.Tensor | undefined> {
  try {
    const session = await createSession(model, { threads: 1, device: 'cpu' });
    const { y } = await session.run(feeds);
    await session.release();
    return y;
  } catch {
    return undefined; // that is an answer: these operators are not to be used
  }
}
