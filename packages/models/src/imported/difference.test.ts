import { expect, it } from 'vitest';
import { relativeDifference } from './difference.ts';

const numbers = (...list: number[]) => Float32Array.from(list);

it('is the largest difference over the largest number that is expected', () => {
  expect(relativeDifference(numbers(1, 2, -3.5), numbers(1, 2.5, -4))).toBe(0.125);
  expect(relativeDifference(numbers(0, 0), numbers(0, 0))).toBe(0);
});

it.each([
  ['a number that was found is none', numbers(1, Number.NaN), numbers(1, 2)],
  ['a number that was expected is none', numbers(1, 2), numbers(1, Number.NaN)],
  ['both are none', numbers(1, Number.NaN), numbers(1, Number.NaN)],
  ['both are infinite', numbers(1, Number.POSITIVE_INFINITY), numbers(1, Number.POSITIVE_INFINITY)],
  ['there are too few', numbers(1), numbers(1, 2)],
  ['there are too many', numbers(1, 2), numbers(1)],
])('is within no tolerance where %s', (_, found, expected) => {
  expect(relativeDifference(found, expected) <= 1).toBe(false);
});

it('takes any number of numbers', () => {
  expect(relativeDifference(new Float32Array(1e6), new Float32Array(1e6))).toBe(0);
});
