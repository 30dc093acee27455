import { float32, type NdArray } from '@jsigr/engine';
import type { QueriedClassifier } from '@jsigr/models';
import { linearClassifier } from './linear.ts';

/** The linear model of these rows and bias, which can only be asked, and how many images it was asked about. */
export function queriedLinear(
  rows: readonly (readonly number[])[],
  bias: readonly number[],
  answer: (logits: NdArray) => NdArray = (logits) => logits,
): QueriedClassifier & { readonly asked: () => number } {
  let asked = 0;
  const size = rows[0]?.length ?? 0;
  return {
    ...linearClassifier(rows, bias),
    id: 'asked',
    blackBox: 'it is one of a test',
    forward: () => {
      throw new Error('a black box is not traced');
    },
    query: async ({ data, shape: [count = 0] }) => {
      asked += count;
      const logits = Array.from({ length: count }, (_, i) =>
        rows.map((row, k) => row.reduce((sum, w, j) => sum + w * (data[i * size + j] ?? 0), bias[k] ?? 0)),
      );
      return answer(float32(logits.flat(), [count, rows.length]));
    },
    asked: () => asked,
  };
}
