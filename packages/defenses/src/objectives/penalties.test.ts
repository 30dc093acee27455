import { createEngine, type Engine, float32, type NdArray } from '@jsigr/engine';
import { specsOf } from '@jsigr/models';
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { traced } from '../testing.ts';
import type { BatchContext, TracedBatch } from './objective.ts';
import { projectionInputs } from './penalties.ts';
import { findObjective } from './registry.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/**
 * The linear softmax model of the fixtures: logits W x + b, where all derivatives are known. x = (.3, .6, .2) gives the probabilities
 * p = (.588761, .118869, .292370); label 0; W^T (p - e_0) = (.173501, -.941347, .914030).
 */
const W = [1, 2, -1, 0, -1, 3, 2, 0, 0.5];
const B = [0.1, -0.2, 0];
const X = [0.3, 0.6, 0.2];
const CROSS_ENTROPY = 0.529735;

const linear = (images: Tensor): Tensor =>
  tf.add(tf.matMul(tf.reshape(images, [-1, 3]) as tf.Tensor2D, tf.tensor2d(W, [3, 3]), false, true), tf.tensor1d(B));

/** The loss terms of an objective on copies of x, with label 0. */
async function termsOf(
  name: string,
  settings: object,
  { copies = 1, saliency, ramp = 1 }: { copies?: number; saliency?: readonly number[]; ramp?: number } = {},
): Promise<Record<string, number>> {
  const objective = findObjective(name).bind(settings);
  const repeat = (row: readonly number[]) =>
    Float32Array.from({ length: copies * row.length }, (_, i) => row[i % row.length] ?? 0);
  const context: BatchContext = {
    seed: 4,
    step: 1,
    batchSize: copies,
    input: [1, 3, 1],
    classes: 3,
    saliency: saliency && float32(repeat(saliency), [copies, 1, 3, 1]),
  };
  const inputs = {
    images: float32(repeat(X), [copies, 1, 3, 1]),
    labels: float32(repeat([1, 0, 0]), [copies, 3]),
    ramp: float32([ramp], []),
    inputs: objective.inputs(context),
  };
  const loss = traced<Omit<TracedBatch, 'forward' | 'targets'>>(
    (batch) => objective.loss({ ...batch, targets: batch.labels, forward: linear }).terms,
  );
  const compiled = await engine.compile(loss, specsOf(inputs));
  const terms = Object.entries((await compiled.run(inputs)) as Record<string, NdArray>);
  return Object.fromEntries(terms.map(([term, { data }]) => [term, data[0] ?? Number.NaN]));
}

describe('the Jacobian term of a linear softmax model', () => {
  it('is lambda / 2 times the squared norm of W, exactly', async () => {
    const terms = await termsOf('jacobian', { jacobianWeight: 0.2, projections: -1 });
    expect(terms.crossEntropy).toBeCloseTo(CROSS_ENTROPY, 5);
    expect(terms.jacobian).toBeCloseTo((0.2 / 2) * 20.25, 5);
  });

  it.each([1, 3])('is that on average over random projections (%d a sample)', async (projections) => {
    const terms = await termsOf('jacobian', { jacobianWeight: 2, projections }, { copies: 2048 });
    expect((terms.jacobian ?? 0) / 20.25).toBeCloseTo(1, 1);
    expect(Math.abs((terms.jacobian ?? 0) / 20.25 - 1)).toBeLessThan(0.03);
  });

  it('grows with the ramp', async () => {
    const terms = await termsOf('jacobian', { jacobianWeight: 0.2, projections: -1 }, { ramp: 0.25 });
    expect(terms.jacobian).toBeCloseTo(0.1 * 20.25 * 0.25, 5);
  });
});

describe('random projections', () => {
  it('are unit vectors that depend on seed and step', () => {
    const context = { seed: 4, step: 1, batchSize: 5, input: [1, 3, 1] as const, classes: 10, saliency: undefined };
    const { projection0, projection1 } = projectionInputs(2, context);
    for (let row = 0; row < 5; row++) {
      const vector = [...(projection0?.data ?? [])].slice(row * 10, row * 10 + 10);
      const length = vector.reduce((sum, value) => sum + value * value, 0);
      expect(length).toBeCloseTo(1, 5);
    }
    expect(projection0).not.toEqual(projection1);
    expect(projectionInputs(2, context).projection0).toEqual(projection0);
    expect(projectionInputs(2, { ...context, step: 2 }).projection0).not.toEqual(projection0);
  });
});

describe('the input-gradient term of a linear softmax model', () => {
  // |W^T (p - e_y)|^2 = 1.751688; for the probability times p_y^2 = .588761^2; for the logit |W_0|^2 = 6.
  it.each([
    { target: 'cross-entropy', expected: 1.751688 },
    { target: 'probability', expected: 0.607204 },
    { target: 'logit', expected: 6 },
  ])('of the $target is lambda times $expected', async ({ target, expected }) => {
    const terms = await termsOf('input-gradient', { gradientWeight: 0.5, gradientTarget: target });
    expect(terms.inputGradient).toBeCloseTo(0.5 * expected, 4);
  });

  const logit = { gradientWeight: 1, gradientTarget: 'logit' }; // its gradient is W_0 = (1, 2, -1)

  it.each([
    { what: 'a hard mask of everything removes it', settings: { mask: 'hard' }, saliency: [1, 1, 1], expected: 0 },
    {
      what: 'a hard mask spares what reaches the threshold',
      settings: { mask: 'hard', maskThreshold: 0.5 },
      saliency: [0.4, 0.5, 1],
      expected: 1,
    },
    {
      what: 'a soft mask scales the gradient by 1 - S',
      settings: { mask: 'soft' },
      saliency: [0.5, 0.5, 1],
      expected: 0.25 + 1,
    },
    {
      what: 'a mask spares nothing while there is no map',
      settings: { mask: 'hard' },
      saliency: undefined,
      expected: 6,
    },
    { what: 'without a mask a map changes nothing', settings: { mask: 'none' }, saliency: [1, 1, 1], expected: 6 },
  ])('$what', async ({ settings, saliency, expected }) => {
    const terms = await termsOf('input-gradient', { ...logit, ...settings }, saliency ? { saliency } : {});
    expect(terms.inputGradient).toBeCloseTo(expected, 5);
  });

  // The size of the gradient is (1, 2, 1); its cosine with (0, 1, 0) is 2 / sqrt(6).
  it.each([
    { saliency: [0.5, 1, 0.5], expected: 0 },
    { saliency: [0, 1, 0], expected: 1 - 2 / Math.sqrt(6) },
    { saliency: [0, 0, 0], expected: 1 },
    { saliency: undefined, expected: 0 },
  ])('imitates the saliency $saliency', async ({ saliency, expected }) => {
    const terms = await termsOf('input-gradient', { ...logit, imitationWeight: 2 }, saliency ? { saliency } : {});
    expect(terms.imitation).toBeCloseTo(2 * expected, 5);
  });
});

describe('J-SIGR on a linear softmax model', () => {
  it('is the sum of cross-entropy, half the Jacobian norm and the selective gradient norm', async () => {
    const settings = { jacobianWeight: 0.01, projections: -1, gradientWeight: 3, mask: 'hard', maskThreshold: 0.2 };
    const terms = await termsOf('jsigr', settings, { saliency: [1, 0.1, 0.1], ramp: 0.5 });
    expect(terms.crossEntropy).toBeCloseTo(CROSS_ENTROPY, 5);
    expect(terms.jacobian).toBeCloseTo(0.5 * 0.005 * 20.25, 5);
    expect(terms.inputGradient).toBeCloseTo(0.5 * 3 * (0.941347 ** 2 + 0.91403 ** 2), 4);
  });
});
