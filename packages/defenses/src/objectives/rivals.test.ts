import { createEngine, type Engine } from '@jsigr/engine';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CROSS_ENTROPY, lossTerms, X } from './testing.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine({ threads: 1 });
});
afterAll(() => engine.dispose());

/**
 * An adversarial neighbour of X. All figures here are for the linear softmax model with x = (.3, .6, .2) and x' = (.4, .5, .3): p(x) =
 * (.588761, .118869, .292370), p(x') = (.465836, .171371, .362793), worked out by a separate program in double precision.
 */
const NEIGHBOUR = [0.4, 0.5, 0.3];
const ADVERSARIAL_CROSS_ENTROPY = 0.763923;
/** sum p (log p - log p') */
const DIVERGENCE = 0.0313;

describe('on a linear softmax model', () => {
  it('TRADES is the clean cross-entropy and beta times the divergence', async () => {
    const terms = await lossTerms(engine, 'trades', { divergenceWeight: 6 }, { prepared: { adversarial: NEIGHBOUR } });
    expect(terms.crossEntropy).toBeCloseTo(CROSS_ENTROPY, 5);
    expect(terms.divergence).toBeCloseTo(6 * 0.03129993, 5);
  });

  it('TRADES has no divergence where nothing moves', async () => {
    const terms = await lossTerms(engine, 'trades', {}, { prepared: { adversarial: X } });
    expect(terms.divergence).toBeCloseTo(0, 7);
  });

  it('MART is the boosted cross-entropy and the divergence times 1 - p_y', async () => {
    const given = { image: NEIGHBOUR, prepared: { clean: X } };
    const terms = await lossTerms(engine, 'mart', { divergenceWeight: 5 }, given);
    expect(terms.crossEntropy).toBeCloseTo(ADVERSARIAL_CROSS_ENTROPY, 5);
    // -log(1.0001 - .362793)
    expect(terms.margin).toBeCloseTo(0.450504, 5);
    expect(terms.divergence).toBeCloseTo(5 * DIVERGENCE * (1 - 0.588761), 4);
  });

  it('MART weighs all of its boosted cross-entropy by class', async () => {
    const given = { image: NEIGHBOUR, prepared: { clean: X }, copies: 2, weight: 0.5 };
    const terms = await lossTerms(engine, 'mart', { divergenceWeight: 5 }, given);
    expect(terms.crossEntropy).toBeCloseTo(0.5 * ADVERSARIAL_CROSS_ENTROPY, 5);
    expect(terms.margin).toBeCloseTo(0.5 * 0.450504, 5);
    expect(terms.divergence).toBeCloseTo(5 * DIVERGENCE * (1 - 0.588761), 4);
  });

  it.each([0, 0.5, 1])('ensemble adversarial training weighs clean images by %d', async (cleanWeight) => {
    const given = { image: NEIGHBOUR, prepared: { clean: X } };
    const terms = await lossTerms(engine, 'ensemble-at', { cleanWeight }, given);
    expect(terms.crossEntropy).toBeCloseTo(cleanWeight * CROSS_ENTROPY, 5);
    expect(terms.adversarial).toBeCloseTo((1 - cleanWeight) * ADVERSARIAL_CROSS_ENTROPY, 5);
  });
});

describe('interpretation regularisation on a linear softmax model', () => {
  // The label's logit has the gradient W_0 = (1, 2, -1). Its cosine with (0, 1, -1) is 3 / sqrt(6 * 2); the norm over four copies sqrt(4 * 6).
  it.each([
    { target: [0.5, 1, -0.5], distance: 0 },
    { target: [-0.5, -1, 0.5], distance: 2 },
    { target: [0, 1, -1], distance: 1 - 3 / Math.sqrt(12) },
  ])('is $distance away from the target map $target', async ({ target, distance }) => {
    const settings = { cosineWeight: 2, normWeight: 0.1 };
    const terms = await lossTerms(engine, 'interpretation', settings, { copies: 4, saliency: target });
    expect(terms.crossEntropy).toBeCloseTo(CROSS_ENTROPY, 5);
    expect(terms.interpretation).toBeCloseTo(2 * distance, 5);
    expect(terms.gradientNorm).toBeCloseTo(0.1 * Math.sqrt(24), 5);
  });

  it('has no distance while there is no map', async () => {
    expect((await lossTerms(engine, 'interpretation', {})).interpretation).toBe(0);
  });
});
