import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { valueAndGrad } from '../autodiff.ts';
import { constantArrays } from '../constant-arrays.ts';
import { createEngine } from '../engine.ts';
import { isLazy } from '../lazy-array.ts';
import { float32, type NdArray, spec } from '../ndarray.ts';
import { runKernel } from '../operations/rules.ts';
import { draw, relativeError } from '../testing.ts';
import { traceFunction } from '../trace-function.ts';
import { collectGarbage, type DeviceMemory } from './device-array.ts';
import { DeviceSession } from './device-session.ts';
import { hostMemory } from './host-memory.ts';
import { type LoweredGraph, lowerGraph } from './lower.ts';

// What runs on a GPU, on the processor: the same models through the same interface, in memory of the host that counts what is done to it.

let counts: { allocated: number; freed: number; written: number; read: number };
let memory: DeviceMemory;
beforeEach(() => {
  counts = { allocated: 0, freed: 0, written: 0, read: 0 };
  const host = hostMemory(2 ** 20);
  memory = {
    ...host,
    allocate: (bytes) => {
      counts.allocated++;
      return host.allocate(bytes);
    },
    free: (address) => {
      counts.freed++;
      host.free(address);
    },
    write: (address, source) => {
      counts.written++;
      host.write(address, source);
    },
    read: (target, address) => {
      counts.read++;
      host.read(target, address);
    },
  };
});

function open({ model }: LoweredGraph): DeviceSession {
  return new DeviceSession(model, { memory, threads: 1 });
}

function lowered(fn: (inputs: { x: tf.Tensor }) => { y: tf.Tensor }, shape: readonly number[]): LoweredGraph {
  return lowerGraph(traceFunction(fn, { x: spec(...shape) }, 'test').graph, 1, { isForGpu: true });
}

const y = (...shape: number[]) => [{ name: 'out0', ...spec(...shape) }];

describe('a session on a device', () => {
  test('keeps what comes out there, and reads it once, when it is looked at', async () => {
    const session = open(lowered(({ x }) => ({ y: tf.mul(x, 2) }), [3]));
    let [state] = await session.run(new Map([['in0', float32([1, 2, 3], [3])]]), y(3));
    for (let step = 0; step < 3; step++) [state] = await session.run(new Map([['in0', state as NdArray]]), y(3));
    expect(isLazy(state as NdArray)).toBe(true);
    expect(counts.read).toBe(0);
    expect([...(state?.data ?? [])]).toEqual([16, 32, 48]);
    expect([...(state?.data ?? [])]).toEqual([16, 32, 48]);
    expect(counts.read).toBe(1);
    await session.release();
    expect({ ...state }).toEqual(float32([16, 32, 48], [3])); // a copy of the array is a plain one
  });

  test('copies constant arrays once', async () => {
    const session = open(lowered(({ x }) => ({ y: tf.mul(x, 2) }), [3]));
    const x = constantArrays({ x: float32([1, 2, 3], [3]) }).x;
    for (let run = 0; run < 3; run++) {
      const [result] = await session.run(new Map([['in0', x]]), y(3));
      expect([...(result?.data ?? [])]).toEqual([2, 4, 6]);
    }
    expect(counts.written).toBe(1);
    await session.release();
  });

  test('what it gave outlives it', async () => {
    const session = open(lowered(({ x }) => ({ y: tf.neg(x) }), [2]));
    const [result] = await session.run(new Map([['in0', float32([1, -2], [2])]]), y(2));
    await session.release();
    expect([...(result?.data ?? [])]).toEqual([-1, 2]);
  });

  test('frees the arrays that nobody needs any more', async () => {
    const size = 2 ** 16; // of which one array is a garbage share of the memory
    const session = open(lowered(({ x }) => ({ y: tf.add(x, 1) }), [size]));
    let state: NdArray | undefined = float32(new Float32Array(size), [size]);
    for (let step = 0; step < 16; step++) [state] = await session.run(new Map([['in0', state as NdArray]]), y(size));
    await collectGarbage(memory);
    expect(counts.allocated).toBe(16);
    expect(counts.freed).toBeGreaterThan(8);
    expect(state?.data[size - 1]).toBe(16);
    await session.release();
  });

  test('a failed run frees its places and says what is wrong', async () => {
    const session = open(lowered(({ x }) => ({ y: tf.neg(x) }), [2]));
    await expect(session.run(new Map([['in0', float32([1], [1])]]), y(2))).rejects.toThrow(/Got: 1 Expected: 2/);
    expect(counts.freed).toBe(counts.allocated);
    await session.release();
  });
});

test('convolutions as they are lowered for a GPU agree with plain loops, to second order', async () => {
  const reference = await createEngine({ engine: 'reference' });
  const pairOf = (least: number, most: number) =>
    fc.tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }));
  const cases = fc.record({
    batch: fc.constantFrom(1, 3, 4),
    size: pairOf(5, 9),
    groups: fc.constantFrom(1, 1, 2, 3),
    channels: pairOf(1, 4), // of each group
    kernel: pairOf(1, 5),
    strides: pairOf(1, 3),
    pad: fc.oneof(fc.constantFrom('same', 'valid'), fc.tuple(pairOf(0, 2), pairOf(0, 2))),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ batch, size, groups, channels, kernel, strides, pad }) => {
      const explicit = typeof pad === 'string' ? pad : [[0, 0], ...pad, [0, 0]];
      const energy = ({ x, w }: { x: tf.Tensor; w: tf.Tensor }) =>
        tf.mean(tf.square(runKernel('Conv2D', { x, filter: w }, { strides, pad: explicit, groups })));
      const step = (inputs: { x: tf.Tensor; w: tf.Tensor }) => {
        const norm = (variables: { x: tf.Tensor; w: tf.Tensor }) => {
          const { gradient } = valueAndGrad(energy, variables);
          return tf.add(tf.sum(tf.square(gradient.x)), tf.sum(tf.square(gradient.w)));
        };
        return { first: valueAndGrad(energy, inputs).gradient, second: valueAndGrad(norm, inputs).gradient };
      };
      const specs = {
        x: spec(batch, ...size, groups * channels[0]),
        w: spec(...kernel, channels[0], groups * channels[1]),
      };
      const inputs = { x: draw('x', specs.x.shape), w: draw('w', specs.w.shape) };
      const expected = await (await reference.compile(step, specs)).run(inputs);
      const { graph } = traceFunction(step, specs, 'step');
      const model = lowerGraph(graph, 1, { isForGpu: true });
      const session = open(model);
      const feeds = graph.inputs.map(({ name }, i) => [model.inputNames[i] ?? '', inputs[name as 'x']] as const);
      const outputs = graph.outputs.map(({ node }, i) => ({ name: model.outputNames[i] ?? '', ...node }));
      const results = await session.run(new Map(feeds), outputs);
      for (const [i, { name }] of graph.outputs.entries()) {
        const [order = 'first', variable = 'x'] = name.split('.') as ['first', 'x'];
        expect(relativeError(results[i] as NdArray, expected[order][variable], 1e-6), name).toBeLessThan(3e-5);
      }
      await session.release();
    }),
    { numRuns: 40, seed: 7, endOnFailure: true },
  );
  await reference.dispose();
});
