import { expect, test } from 'vitest';
import { integratedGradients } from './integrated-gradients.ts';
import { methodNamed, saliencyMethods } from './registry.ts';
import { smooth } from './smoothgrad.ts';

const table: [method: string, settings: object, forwards: number][] = [
  ['gradient', {}, 1],
  ['input-x-gradient', {}, 1],
  ['grad-cam', {}, 1],
  ['smoothgrad', { samples: 7 }, 7],
  // The path and its two ends.
  ['integrated-gradients', { steps: 10 }, 12],
  // 3 x 4 places, and the image.
  ['perturbation', { stride: 4 }, 13],
  ['sarfa', { stride: 4 }, 13],
  // Squares at 0 3 6 and 0 3 6 9 12, and the image.
  ['occlusion', { size: 4, stride: 3 }, 16],
  // Squares at 0 4 8 and 0 4 8 12, and the baseline, in each order.
  ['shapley', { size: 4, orders: 5 }, 65],
];

test.each(table)(
  '%s with %o says how often it asks the model about an image of 10 x 16',
  (name, settings, forwards) => {
    expect(methodNamed(name).forwards([10, 16, 3], settings)).toBe(forwards);
  },
);

test('every method is in the table', () => {
  expect(table.map(([name]) => name).sort()).toEqual(Object.keys(saliencyMethods).sort());
});

test('a wrapped method is asked so much the more often', () => {
  const method = smooth(integratedGradients, 'smooth-integrated-gradients', 'a test');
  expect(method.forwards([10, 16, 3], { samples: 5, steps: 8 })).toBe(50);
  expect(() => method.forwards([10, 16, 3], { samples: 0 })).toThrow('settings.samples');
});
