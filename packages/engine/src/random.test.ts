import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EngineError } from './errors.ts';
import { hash32, normal, permutation, philox4x32, randomWords, uniform } from './random.ts';

type Four = [number, number, number, number];

describe('Philox 4x32-10', () => {
  // Published with Random123 (kat_vectors): zeros, ones, digits of pi.
  test.each<[string, Four, [number, number], Four]>([
    ['zeros', [0, 0, 0, 0], [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    [
      'ones',
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      'digits of pi',
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ])('gives the published words for %s', (_, counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });

  test('is addressed by key (seed, hash of the stream) and counter (block, sample, step, 0)', () => {
    const words = randomWords({ seed: 7, stream: 'foobar', step: 11, sample: 13 }, 8);
    expect([...words]).toEqual([
      ...philox4x32([0, 13, 11, 0], [7, 0xbf9cf968]),
      ...philox4x32([1, 13, 11, 0], [7, 0xbf9cf968]),
    ]);
  });
});

test.each([
  ['', 0x811c9dc5],
  ['a', 0xe40c292c],
  ['foobar', 0xbf9cf968],
])('hash32(%j) is the published FNV-1a value', (text, hash) => {
  expect(hash32(text)).toBe(hash);
});

const address = fc.record({
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  stream: fc.string(),
  step: fc.nat(),
  sample: fc.nat(),
});

test('a shorter draw is the beginning of a longer one', () => {
  fc.assert(
    fc.property(address, fc.nat(50), fc.nat(50), (where, some, more) => {
      expect(uniform(where, some)).toEqual(uniform(where, some + more).slice(0, some));
      expect(normal(where, some)).toEqual(normal(where, some + more).slice(0, some));
    }),
  );
});

test('seed, stream, step and sample each change the numbers', () => {
  const base = { seed: 1, stream: 'a', step: 2, sample: 3 };
  const draws = [base, { ...base, seed: 2 }, { ...base, stream: 'b' }, { ...base, step: 3 }, { ...base, sample: 4 }];
  expect(new Set(draws.map((where) => uniform(where, 4).join())).size).toBe(5);
});

test('uniform numbers fill [0, 1) evenly', () => {
  const numbers = uniform({ seed: 1, stream: 'test' }, 100_000);
  const bins = new Array<number>(10).fill(0);
  for (const number of numbers) {
    expect(number >= 0 && number < 1).toBe(true);
    const bin = Math.floor(number * 10);
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  // Chi-square with 9 degrees of freedom: 27.88 is passed with probability 0.001, and the seed is fixed.
  expect(bins.reduce((sum, seen) => sum + (seen - 10_000) ** 2 / 10_000, 0)).toBeLessThan(27.88);
});

test('normal numbers have the moments of the standard normal distribution', () => {
  const numbers = normal({ seed: 1, stream: 'test' }, 100_000);
  const moment = (order: number) => numbers.reduce((sum, x) => sum + x ** order, 0) / numbers.length;
  // Five standard errors each: sqrt(var / n) with variances 1, 2, 15, 96.
  expect(Math.abs(moment(1))).toBeLessThan(0.016);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.023);
  expect(Math.abs(moment(3))).toBeLessThan(0.062);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.155);
});

test('normal numbers follow Box and Muller on the words of the address', () => {
  const where = { seed: 3, stream: 'box' };
  const [first = 0, second = 0] = randomWords(where, 2);
  const radius = Math.sqrt(-2 * Math.log((first + 1) / 2 ** 32));
  const expected = [Math.cos, Math.sin].map((turn) => Math.fround(radius * turn((2 * Math.PI * second) / 2 ** 32)));
  expect([...normal(where, 2)]).toEqual(expected);
});

test('a permutation holds every number once, for every length', () => {
  fc.assert(
    fc.property(address, fc.nat(3000), (where, n) => {
      expect([...permutation(where, n)].sort((a, b) => a - b)).toEqual([...Array(n).keys()]);
    }),
    { numRuns: 30 },
  );
});

test('every permutation of four is equally likely', () => {
  const seen = new Map<string, number>();
  for (let sample = 0; sample < 24_000; sample++) {
    const order = permutation({ seed: 1, stream: 'test', sample }, 4).join('');
    seen.set(order, (seen.get(order) ?? 0) + 1);
  }
  expect(seen.size).toBe(24);
  // Chi-square with 23 degrees of freedom: 49.73 is passed with probability 0.001, and the seed is fixed.
  const chiSquare = [...seen.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
  expect(chiSquare).toBeLessThan(49.73);
});

test.each([
  ['seed', { seed: -1, stream: '' }, 1],
  ['seed', { seed: 2 ** 32, stream: '' }, 1],
  ['seed', { seed: 0.5, stream: '' }, 1],
  ['step', { seed: 1, stream: '', step: Number.NaN }, 1],
  ['sample', { seed: 1, stream: '', sample: 2 ** 32 }, 1],
  ['count', { seed: 1, stream: '' }, -1],
  ['count', { seed: 1, stream: '' }, 1.5],
])('a bad %s is refused by name', (field, where, count) => {
  expect(() => uniform(where, count)).toThrow(EngineError);
  expect(() => normal(where, count)).toThrow(new RegExp(`^${field} of .* must be an integer from 0 to \\d+, not `));
});
