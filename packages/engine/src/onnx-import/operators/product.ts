import * as tf from '@tensorflow/tfjs-core';
import type { Call } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import { plainValue, type Value } from '../value.ts';

/** numpy's matmul: vectors are rows or columns, leading axes broadcast. */
function matrixProduct(left: tf.Tensor, right: tf.Tensor): tf.Tensor {
  const a = left.rank === 1 ? tf.reshape(left, [1, left.size]) : left;
  const b = right.rank === 1 ? tf.reshape(right, [right.size, 1]) : right;
  const shape = a.rank > 2 && b.rank === 2 ? [...a.shape.slice(0, -1), b.shape[1] ?? 1] : undefined;
  // one large product is faster than many small ones with the same matrix
  const merged = shape ? tf.reshape(a, [-1, a.shape.at(-1) ?? 1]) : a;
  const product = tf.matMul(merged, b);
  const full = shape ? tf.reshape(product, shape) : product;
  const kept = full.shape.filter(
    (_, i) => !(left.rank === 1 && i === full.rank - 2) && !(right.rank === 1 && i === full.rank - 1),
  );
  return kept.length === full.rank ? full : tf.reshape(full, kept);
}

function gemm(call: Call): Value {
  const [transA, transB] = [call.integer('transA', 0) === 1, call.integer('transB', 0) === 1];
  const product = tf.matMul(call.plain(0) as tf.Tensor2D, call.plain(1) as tf.Tensor2D, transA, transB);
  const scaled = tf.mul(product, call.float('alpha', 1));
  return plainValue(call.has(2) ? tf.add(scaled, tf.mul(call.plain(2), call.float('beta', 1))) : scaled);
}

/** Letters of each operand and of the result. Without an arrow the result has the letters that occur once, in alphabetical order. */
function einsumLetters(call: Call): { operands: string[]; result: string } {
  const equation = call.text('equation', '').replaceAll(' ', '');
  const [left = '', right] = equation.split('->');
  const operands = left.split(',');
  const isPlain = operands.every((letters) => /^[A-Za-z]+$/.test(letters) && new Set(letters).size === letters.length);
  if (!isPlain || operands.length !== 2 || operands.length !== call.count)
    throw call.error(
      'UNSUPPORTED_OPERATION',
      `its equation is '${equation}'; only two operands without '...' and repeated letters`,
    );
  const all = [...left.replaceAll(',', '')];
  const once = all.filter((letter) => all.indexOf(letter) === all.lastIndexOf(letter)).toSorted();
  return { operands, result: right ?? once.join('') };
}

/** Two operands as one batched matrix product: letters of both and the result, of one and the result, of both but not the result. */
function einsum(call: Call): Value {
  const { operands, result } = einsumLetters(call);
  const [left = '', right = ''] = operands;
  const [a, b] = [call.plain(0), call.plain(1)];
  if (a.rank !== left.length || b.rank !== right.length)
    throw call.error('SHAPE_MISMATCH', `'${operands}' for operands of shape [${a.shape}] and [${b.shape}]`);
  const sizes = new Map([...left].map((letter, i) => [letter, a.shape[i] ?? 1]));
  for (const [i, letter] of [...right].entries()) sizes.set(letter, b.shape[i] ?? 1);
  const has = (letters: string) => (letter: string) => letters.includes(letter);
  const batch = [...left].filter((letter) => has(right)(letter) && has(result)(letter));
  const summed = [...left].filter((letter) => has(right)(letter) && !has(result)(letter));
  const [rows, columns] = [
    [...left].filter((letter) => !has(right)(letter)),
    [...right].filter((letter) => !has(left)(letter)),
  ];
  if (
    [...rows, ...columns].some((letter) => !has(result)(letter)) ||
    [...result].length !== batch.length + rows.length + columns.length
  )
    throw call.error(
      'UNSUPPORTED_OPERATION',
      `its equation is '${call.text('equation', '')}': sum single operands before it`,
    );
  const size = (letters: readonly string[]) =>
    letters.reduce((product, letter) => product * (sizes.get(letter) ?? 1), 1);
  const arrange = (x: tf.Tensor, letters: string, order: readonly string[], shape: number[]) =>
    tf.reshape(
      tf.transpose(
        x,
        order.map((letter) => letters.indexOf(letter)),
      ),
      shape,
    );
  const product = tf.matMul(
    arrange(a, left, [...batch, ...rows, ...summed], [size(batch), size(rows), size(summed)]),
    arrange(b, right, [...batch, ...summed, ...columns], [size(batch), size(summed), size(columns)]),
  );
  const letters = [...batch, ...rows, ...columns];
  const full = tf.reshape(
    product,
    letters.map((letter) => sizes.get(letter) ?? 1),
  );
  return plainValue(
    tf.transpose(
      full,
      [...result].map((letter) => letters.indexOf(letter)),
    ),
  );
}

export const productOperators = {
  Einsum: { evaluate: einsum },
  Gemm: { evaluate: gemm },
  MatMul: { evaluate: (call) => plainValue(matrixProduct(call.plain(0), call.plain(1))) },
} satisfies OperatorTable;
