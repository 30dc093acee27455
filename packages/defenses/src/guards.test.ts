import { float32 } from '@jsigr/engine';
import { describe, expect, it } from 'vitest';
import { checkFinite, checkLoss } from './guards.ts';

describe('the loss of a step', () => {
  it('is the sum of its terms', () => {
    expect(checkLoss({ crossEntropy: 2, jacobian: 0.5 }, 1)).toBe(2.5);
  });

  it.each([
    {
      terms: { crossEntropy: 1, jacobian: Number.NaN },
      reason: 'NOT_FINITE',
      message: /term jacobian is NaN at step 7/,
    },
    {
      terms: { crossEntropy: Number.POSITIVE_INFINITY },
      reason: 'NOT_FINITE',
      message: /crossEntropy is Infinity at step 7/,
    },
    {
      terms: { crossEntropy: 3, inputGradient: 2e6 },
      reason: 'DIVERGED',
      message: /2000003 at step 7 \(inputGradient is 2000000\), over 1000000/,
    },
  ])('stops training when it is $terms', ({ terms, reason, message }) => {
    expect(() => checkLoss(terms as unknown as Record<string, number>, 7)).toThrow(
      expect.objectContaining({ reason, step: 7, message: expect.stringMatching(message) }),
    );
  });
});

describe('the parameters after a step', () => {
  it('must be numbers', () => {
    expect(() => checkFinite({ 'conv1.bias': float32([0, Number.NaN], [2]) }, 3)).toThrow(
      expect.objectContaining({ reason: 'NOT_FINITE', field: 'conv1.bias', step: 3 }),
    );
  });
});
