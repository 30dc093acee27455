import fc from 'fast-check';
import { expect, test } from 'vitest';
import { holdOut } from './hold-out.ts';

const labels = fc.uint8Array({ max: 4, maxLength: 300 });

test('train and held are the whole, each index once, in ascending order', () => {
  fc.assert(
    fc.property(labels, fc.double({ min: 0, max: 0.5, noNaN: true }), fc.nat(), (given, fraction, seed) => {
      const { train, held } = holdOut({ labels: given }, fraction, seed);
      expect([...train, ...held].sort((a, b) => a - b)).toEqual([...given.keys()]);
      for (const part of [train, held]) expect([...part]).toEqual([...part].sort((a, b) => a - b));
    }),
  );
});

test('each class gives its share: a tenth by default, one at least where it has two', () => {
  const given = Uint8Array.from([...Array(100).fill(0), ...Array(25).fill(1), ...Array(3).fill(2), 3]);
  const { held } = holdOut({ labels: given });
  const perClass = [0, 1, 2, 3].map((label) => held.filter((index) => given[index] === label).length);
  expect(perClass).toEqual([10, 3, 1, 0]);
});

test('the seed chooses, and nothing else', () => {
  const given = Uint8Array.from({ length: 200 }, (_, i) => i % 10);
  expect(holdOut({ labels: given }, 0.1, 1)).toEqual(holdOut({ labels: given }, 0.1, 1));
  expect(holdOut({ labels: given }, 0.1, 1)).not.toEqual(holdOut({ labels: given }, 0.1, 2));
});

test.each([
  ['fraction', 0.6, 0],
  ['fraction', Number.NaN, 0],
  ['seed', 0.1, -1],
])('a bad %s is refused by name', (field, fraction, seed) => {
  expect(() => holdOut({ labels: Uint8Array.of(0) }, fraction, seed)).toThrow(expect.objectContaining({ field }));
});
