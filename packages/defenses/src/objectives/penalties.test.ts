import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectionInputs } from './penalties.ts';
import { CROSS_ENTROPY, type LossCase, lossTerms } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

const termsOf = (name: string, settings: object, given?: LossCase) => lossTerms(engine, name, settings, given);

describe('the Jacobian term of a linear softmax model', () => {
  it('is lambda / 2 times the squared norm of W, exactly', async () => {
    const terms = await termsOf('jacobian', { jacobianWeight: 0.2, projections: -1 });
    expect(terms.crossEntropy).toBeCloseTo(CROSS_ENTROPY, 5);
    expect(terms.jacobian).toBeCloseTo((0.2 / 2) * 20.25, 5);
  });

  // For v uniform on the sphere of n = 3 dimensions and A = W W^T, E (v^T A v)^2 = (tr(A)^2 + 2 tr(A^2)) / (n (n + 2)): a single estimate
  // 3 v^T A v has the standard deviation 9.573401.
  it.each([
    { projections: 1, estimator: 'exact' },
    { projections: 3, estimator: 'exact' },
    { projections: 1, estimator: 'finite-difference' },
  ])('is that on average over $projections random projections ($estimator)', async ({ projections, estimator }) => {
    const copies = 2048;
    const { jacobian = 0 } = await termsOf('jacobian', { jacobianWeight: 2, projections, estimator }, { copies });
    const deviation = 9.573401 / Math.sqrt(copies * projections);
    expect(Math.abs(jacobian - 20.25)).toBeLessThan(3 * deviation);
    expect(Math.abs(jacobian - 20.25)).toBeGreaterThan(0);
  });

  // ||(diag p - p p^T) W||^2 = 1.004650
  it('is half that of (diag p - p p^T) W for probabilities', async () => {
    const settings = { jacobianWeight: 1, projections: -1, jacobianOutput: 'probabilities' };
    expect((await termsOf('jacobian', settings)).jacobian).toBeCloseTo(1.00465 / 2, 5);
  });

  it('is lambda times the norm itself where it is not squared', async () => {
    const settings = { jacobianWeight: 0.5, projections: -1, jacobianSquared: false };
    expect((await termsOf('jacobian', settings, { copies: 4 })).jacobian).toBeCloseTo(0.5 * 4.5, 5);
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
    {
      what: 'a quantile takes the place of the threshold',
      settings: { mask: 'hard', maskQuantile: 0.5 },
      saliency: [0.1, 0.4, 0.3],
      expected: 1,
    },
    {
      what: 'a quantile that falls on zeros spares what is above them',
      settings: { mask: 'hard', maskQuantile: 0.5 },
      saliency: [0, 0, 1],
      expected: 5,
    },
    {
      what: 'a quantile of a map of zeros spares nothing',
      settings: { mask: 'hard', maskQuantile: 0.9 },
      saliency: [0, 0, 0],
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

describe('finite differences on a linear softmax model', () => {
  // ((CE(x + h d) - CE(x - h d)) / 2h)^2 with h = .01 and W^T (p - e_0) = (.173501, -.941347, .914030), by a separate program in double
  // precision; for h -> 0 they are ||g||_2^2 = 1.751688 and ||g||_1^2 / 3 = 1.372116.
  it.each([
    { norm: 'l2', scheme: 'one-sided', expected: 1.790566 },
    { norm: 'l2', scheme: 'central', expected: 1.751867 },
    { norm: 'linf', scheme: 'one-sided', expected: 1.396024 },
    { norm: 'linf', scheme: 'central', expected: 1.372168 },
  ])('the $scheme slope against $norm attacks, squared, is $expected', async ({ norm, scheme, expected }) => {
    const terms = await termsOf('finite-difference', { gradientWeight: 3, norm, scheme });
    expect(terms.inputGradient).toBeCloseTo(1.5 * expected, 3);
  });

  it('are exact for the logit, which is linear, also behind a mask', async () => {
    const settings = { gradientWeight: 1, gradientTarget: 'logit', estimator: 'finite-difference' };
    expect((await termsOf('input-gradient', settings)).inputGradient).toBeCloseTo(6, 3);
    const saliency = [0.5, 0.5, 1];
    const hard = { ...settings, mask: 'hard', maskThreshold: 0.6 };
    expect((await termsOf('input-gradient', hard, { saliency })).inputGradient).toBeCloseTo(5, 3);
    expect((await termsOf('input-gradient', { ...settings, mask: 'soft' }, { saliency })).inputGradient).toBeCloseTo(
      1.25,
      3,
    );
  });
});

describe('J-SIGR by one finite difference for both terms', () => {
  it('measures each on half of the batch', async () => {
    const settings = {
      jacobianWeight: 2,
      gradientWeight: 0.5,
      gradientTarget: 'logit',
      maskThreshold: 0.6,
      estimator: 'finite-difference',
    };
    const copies = 4096;
    const terms = await termsOf('jsigr', settings, { copies, saliency: [0.5, 0.5, 1] });
    expect(terms.crossEntropy).toBeCloseTo(CROSS_ENTROPY, 5);
    // Of W_0 = (1, 2, -1) the mask spares the last: 5. See the Jacobian term for the deviation of a single estimate.
    expect(terms.inputGradient).toBeCloseTo(0.5 * 5, 3);
    expect(Math.abs((terms.jacobian ?? 0) - 20.25)).toBeLessThan((3 * 9.573401) / Math.sqrt(copies / 2));
  });
});

describe('smoothed labels', () => {
  // Targets (.8, .1, .1): cross-entropy .759735, and ||W^T (p - t)||^2 = .357408, by a separate program in double precision.
  it('change the cross-entropy and its gradient', async () => {
    const terms = await termsOf('input-gradient', { gradientWeight: 1 }, { targets: [0.8, 0.1, 0.1] });
    expect(terms.crossEntropy).toBeCloseTo(0.759735, 5);
    expect(terms.inputGradient).toBeCloseTo(0.357408, 5);
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
