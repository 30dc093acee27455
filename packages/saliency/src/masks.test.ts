import { expect, test } from 'vitest';
import { gaussianMatrix } from './gaussian.ts';
import { gridMasks, gridPositions, interpolations } from './masks.ts';

test.each([
  { size: 28, stride: 4, positions: [1, 5, 9, 13, 17, 21, 25] },
  { size: 5, stride: 2, positions: [0, 2, 4] },
  { size: 3, stride: 8, positions: [1] },
])('a grid of stride $stride on $size pixels lies in the middle', ({ size, stride, positions }) => {
  expect(gridPositions(size, stride)).toEqual(positions);
});

test('a mask is 1 at its place, falls off evenly, and lies in [0, 1]', () => {
  const { count, part } = gridMasks(9, 9, 4, 1.5); // places 0, 4, 8
  expect(count).toBe(9);
  const table = part(0, 9);
  const middle = table.subarray(4 * 81, 5 * 81);
  expect(table.length).toBe(9 * 81);
  expect(Math.max(...middle)).toBe(1);
  expect(middle.indexOf(1)).toBe(4 * 9 + 4);
  for (const [a, b] of [
    [3 * 9 + 4, 5 * 9 + 4],
    [3 * 9 + 4, 4 * 9 + 3],
    [2 * 9 + 2, 6 * 9 + 6],
  ] as const)
    expect(middle[a]).toBeCloseTo(middle[b] ?? 0, 6);
  expect(table.every((value) => value >= 0 && value <= 1)).toBe(true);
});

test('masks are the same in parts, and zeros beyond the last one', () => {
  const { count, part } = gridMasks(6, 5, 2, 1); // 3 x 3 places
  expect(count).toBe(9);
  const table = part(0, 9);
  for (const first of [0, 4, 8]) {
    const four = part(first, 4);
    const there = table.subarray(first * 30, (first + 4) * 30);
    expect(four.subarray(0, there.length)).toEqual(there);
    expect(four.subarray(there.length).every((value) => value === 0)).toBe(true);
    expect(four).toHaveLength(120);
  }
});

test('blurring keeps a flat image flat, also at the edges, and is even-handed', () => {
  const size = 6;
  const matrix = gaussianMatrix(size, 3); // reaches far beyond the image: mirrored more than once
  for (let row = 0; row < size; row++) {
    const weights = matrix.subarray(row * size, (row + 1) * size);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 12);
    const opposite = matrix.subarray((size - 1 - row) * size, (size - row) * size);
    expect([...weights].map((weight) => weight.toFixed(12))).toEqual(
      [...opposite].reverse().map((weight) => weight.toFixed(12)),
    );
  }
});

test('interpolation goes through the grid and is constant beyond it', () => {
  const valueAt = ({ lower, upper, weight }: { lower: number; upper: number; weight: number }) =>
    [10, 20, 40][lower === upper ? lower : -1] ??
    ([10, 20, 40][lower] ?? 0) * (1 - weight) + ([10, 20, 40][upper] ?? 0) * weight;
  expect(interpolations(8, [1, 3, 5]).map(valueAt)).toEqual([10, 10, 15, 20, 30, 40, 40, 40]);
});
