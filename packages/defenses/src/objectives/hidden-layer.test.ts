import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { termAndSlope } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/**
 * z = W2 softplus(W1 x + b1) + b2 with W1 = (1 -1 .5; .5 2 -1), b1 = (.1, -.3), W2 = (1 -.5; -1 2), b2 = (0, .2) at x = (.3, .6, .2), label 0.
 * With a = W1 x + b1 = (-.1, .85), s = sigmoid(a) and s' = s (1 - s):
 *   J_ij = sum_k W2_ik s_k W1_kj,   d ||J||^2 / d b1_k = 2 sum_ij J_ij W2_ik s'_k W1_kj,   and likewise for g = J^T (p - e_0), where p moves too.
 * The numbers are these formulas in double precision, by a separate program.
 */
const CASES = [
  {
    what: 'half the squared norm of the Jacobian',
    objective: 'jacobian',
    settings: { jacobianWeight: 2, projections: -1 },
    term: 'jacobian',
    value: 15.294089,
    slope: [2.813176, 7.554552],
  },
  {
    what: "the squared gradient of the label's logit",
    objective: 'input-gradient',
    settings: { gradientWeight: 1, gradientTarget: 'logit' },
    term: 'inputGradient',
    value: 1.817436,
    slope: [0.882474, 0.585063],
  },
  {
    what: 'the squared gradient of the cross-entropy',
    objective: 'input-gradient',
    settings: { gradientWeight: 1 },
    term: 'inputGradient',
    value: 18.884666,
    slope: [-0.278593, 17.27962],
  },
] as const;

describe('on a network of one hidden softplus layer', () => {
  it.each(CASES)('$what and its derivative by the parameters are those of the formulas', async (given) => {
    const { value, slope } = await termAndSlope(engine, given.objective, given.settings, given.term);
    expect(value).toBeCloseTo(given.value, 4);
    for (const [k, expected] of given.slope.entries()) expect(slope[k]).toBeCloseTo(expected, 4);
  });

  it.each(CASES.slice(1))('finite differences come near to $what and its derivative', async (given) => {
    const settings = { ...given.settings, estimator: 'finite-difference', differenceStep: 0.001 };
    const { value, slope } = await termAndSlope(engine, given.objective, settings, given.term);
    // The error is of the order of the step; float32 adds about 1e-7 / 0.001.
    expect(Math.abs(value / given.value - 1)).toBeLessThan(0.01);
    for (const [k, expected] of given.slope.entries())
      expect(Math.abs((slope[k] ?? Number.NaN) - expected)).toBeLessThan(0.02 * Math.abs(given.value));
  });

  // Of two copies the first measures the Jacobian, along the projection that a single one would have, and the second the gradient.
  it.each([
    { term: 'jacobian', alone: 'jacobian', weight: { jacobianWeight: 1 } },
    { term: 'inputGradient', alone: 'input-gradient', weight: { gradientWeight: 1 } },
  ])('the finite difference of J-SIGR gives the $term that $alone gives alone', async ({ term, alone, weight }) => {
    const difference = { estimator: 'finite-difference', ...weight };
    const shared = await termAndSlope(engine, 'jsigr', difference, term, 2);
    const expected = await termAndSlope(engine, alone, difference, term);
    expect(shared.value).toBeCloseTo(expected.value, 2);
    expected.slope.forEach((value, k) => {
      expect(Math.abs((shared.slope[k] ?? Number.NaN) - value)).toBeLessThan(2e-3 * expected.value);
    });
  });

  it('both estimators of a projected Jacobian agree', async () => {
    const settings = { jacobianWeight: 1, projections: 2 };
    const exact = await termAndSlope(engine, 'jacobian', settings, 'jacobian');
    const difference = { ...settings, estimator: 'finite-difference', differenceStep: 0.001 };
    const near = await termAndSlope(engine, 'jacobian', difference, 'jacobian');
    expect(Math.abs(near.value / exact.value - 1)).toBeLessThan(0.01);
    exact.slope.forEach((expected, k) => {
      expect(Math.abs((near.slope[k] ?? Number.NaN) - expected)).toBeLessThan(0.02 * exact.value);
    });
  });
});
