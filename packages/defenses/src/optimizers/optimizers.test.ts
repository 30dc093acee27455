import { createEngine, type Engine, float32, type NdArray, scalar, specsOf } from '@jsigr/engine';
import type { Tensor } from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { traced } from '../testing.ts';
import { findOptimizer } from './registry.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

interface Inputs {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly state: Readonly<Record<string, Tensor>>;
  readonly scalars: Readonly<Record<string, Tensor>>;
}

/** The values that a weight of 1 takes when these are its gradients, and the state at the end. */
async function descent(
  name: string,
  settings: object,
  gradients: readonly number[],
  shape: number[] = [1, 1],
): Promise<{ values: number[]; state: Record<string, NdArray> }> {
  const optimizer = findOptimizer(name).bind(settings);
  const compiledFunction = traced<Inputs>((inputs) => {
    const { parameter, state } = optimizer.update(inputs);
    return { parameter, ...state };
  });
  let parameter: NdArray = float32([1], shape);
  let state = Object.fromEntries(optimizer.slots.map((slot) => [slot, float32([0], shape)]));
  const values: number[] = [];
  for (const [index, slope] of gradients.entries()) {
    const scalars = Object.entries(optimizer.scalars(optimizer.learningRate, index + 1)).map(([key, value]) => [
      key,
      scalar(value),
    ]);
    const inputs = {
      parameter,
      state,
      gradient: float32([slope], shape),
      scalars: Object.fromEntries(scalars) as Record<string, NdArray>,
    };
    const compiled = await engine.compile(compiledFunction, specsOf(inputs));
    const { parameter: next, ...states } = (await compiled.run(inputs)) as Record<string, NdArray>;
    parameter = next ?? parameter;
    state = states as typeof state;
    values.push(parameter.data[0] ?? Number.NaN);
  }
  return { values, state };
}

async function descend(...given: Parameters<typeof descent>): Promise<number[]> {
  return (await descent(...given)).values;
}

describe('optimisers', () => {
  it.each([
    { name: 'adam', settings: { beta1: 0.5, beta2: 0.5 } },
    { name: 'sgd', settings: { momentum: 0.5 } },
  ])('$name keeps no number that is slow to compute with where the gradient has become zero', async (each) => {
    const gradients = Array.from({ length: 200 }, (_, i) => Number(i === 0));
    const { values, state } = await descent(each.name, each.settings, gradients);
    const smallestNormal = 2 ** -126;
    for (const { data } of Object.values(state)) expect(Math.abs(data[0] ?? 0)).toBeGreaterThan(smallestNormal);
    expect(values.at(-1)).toBe(values.at(-50));
  });

  it.each([
    {
      what: 'plain sgd',
      name: 'sgd',
      settings: { learningRate: 0.1, momentum: 0 },
      gradients: [2, -1],
      expected: [0.8, 0.9],
    },
    // v = 2, then 0.5 * 2 - 1 = 0
    {
      what: 'sgd with momentum',
      name: 'sgd',
      settings: { learningRate: 0.1, momentum: 0.5 },
      gradients: [2, -1],
      expected: [0.8, 0.8],
    },
    // steps 2 + 0.5 * 2 = 3, then -1 + 0.5 * 0 = -1
    {
      what: 'sgd with look-ahead',
      name: 'sgd',
      settings: { learningRate: 0.1, momentum: 0.5, nesterov: true },
      gradients: [2, -1],
      expected: [0.7, 0.8],
    },
    // 1 * (1 - 0.1 * 0.5) - 0.1 * 2
    {
      what: 'sgd with decay',
      name: 'sgd',
      settings: { learningRate: 0.1, momentum: 0, weightDecay: 0.5 },
      gradients: [2],
      expected: [0.75],
    },
    // Kingma and Ba, algorithm 1: the first step is the learning rate times the sign. Second: m = .9 * .05 - .1 * .25 = .02, / .19;
    // v = .999 * .00025 + .001 * .0625 = .00031225, / .001999; .105263 / .395222 = .266339
    {
      what: 'adam',
      name: 'adam',
      settings: { learningRate: 0.1 },
      gradients: [0.5, -0.25],
      expected: [0.9, 0.8733661],
    },
    {
      what: 'adam with decay',
      name: 'adam',
      settings: { learningRate: 0.1, weightDecay: 1 },
      gradients: [3],
      expected: [0.8],
    },
  ])('$what steps as worked out by hand', async ({ name, settings, gradients, expected }) => {
    const values = await descend(name, settings, gradients);
    for (const [index, value] of values.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 5);
  });

  it('leave biases out of weight decay', async () => {
    expect((await descend('sgd', { learningRate: 0.1, momentum: 0, weightDecay: 0.5 }, [2], [1]))[0]).toBeCloseTo(
      0.8,
      6,
    );
  });

  it('keep no state for sgd without momentum', () => {
    expect(findOptimizer('sgd').bind({ momentum: 0 }).slots).toEqual([]);
  });
});
