import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toBytes } from './bytes.ts';
import { l2, linf, norms } from './norms.ts';

test('8/255 are 8 levels, and what lies between two levels is rounded within them', () => {
  const original = Uint8Array.of(100, 100, 0, 255);
  const adversarial = Float32Array.of(108 / 255, 92 / 255, 0.4 / 255, 1);
  expect([...toBytes(original, adversarial, linf, 8 / 255)]).toEqual([108, 92, 0, 255]);
  expect([...toBytes(original, Float32Array.of(107.6 / 255, 100 / 255, 0, 1), linf, 7.6 / 255)]).toEqual([
    107, 100, 0, 255,
  ]);
});

test('in l2 rounding up must not lengthen the perturbation', () => {
  const original = Uint8Array.of(100, 100, 100, 100);
  const adversarial = Float32Array.from([102.6, 102.6, 102.6, 102.6], (level) => level / 255); // length 5.2 levels; rounded 6
  expect([...toBytes(original, adversarial, l2, 5.2 / 255)]).toEqual([102, 102, 102, 102]);
  expect([...toBytes(original, adversarial, l2, 6 / 255)]).toEqual([103, 103, 103, 103]);
});

test.each(Object.values(norms))('$name: the bytes lie in the ball', (norm) => {
  const pixels = fc.array(fc.tuple(fc.integer({ min: 0, max: 255 }), fc.double({ min: -1, max: 1, noNaN: true })), {
    minLength: 6,
    maxLength: 6,
  });
  fc.assert(
    fc.property(pixels, fc.double({ min: 0, max: 1, noNaN: true }), (rows, epsilon) => {
      const original = Uint8Array.from(rows, ([level]) => level);
      const length = { linf: 1, l2: Math.sqrt(6), l1: 6 }[norm.name]; // a perturbation in the ball: a cube of that half side
      const adversarial = Float32Array.from(rows, ([level, u]) =>
        Math.min(Math.max(level / 255 + (u * epsilon) / length, 0), 1),
      );
      const delta = [...toBytes(original, adversarial, norm, epsilon)].map((level, i) => level - (original[i] ?? 0));
      expect(norm.lengthOf(delta)).toBeLessThanOrEqual(255 * epsilon + 1e-3);
    }),
    { seed: 1 },
  );
});
