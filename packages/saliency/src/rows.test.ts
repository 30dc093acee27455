import { expect, test } from 'vitest';
import { rowsAtOnce } from './rows.ts';

test.each([
  [28 * 28, 256],
  [256 * 256, 256],
  [224 * 224 * 3, 64],
  [512 * 512 * 3, 16],
  [2048 * 2048 * 3, 1],
])('images of %i numbers are run %i at once: at most 64 MiB, or one', (size, rows) => {
  expect(rowsAtOnce(size)).toBe(rows);
});
