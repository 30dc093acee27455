import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { sizeOf } from '../ndarray.ts';
import { at } from '../onnx/graph.ts';
import { composite, type Operation } from './operation.ts';
import { real, sample } from './samples.ts';

/** A tensor and a letter for each of its axes. */
interface Labelled {
  readonly letters: readonly string[];
  readonly tensor: tf.Tensor;
}

function parse(equation: string, count: number): { terms: string[][]; result: string[] } {
  const [left = '', right] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',').map((term) => [...term]);
  const letters = [...terms, [...(right ?? '')]];
  if (right === undefined || terms.length !== count || letters.some((term) => new Set(term).size !== term.length))
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `einsum '${equation}' of ${count} tensors: it must be like 'ij,jk->ik', with one term for each tensor and no letter twice in a term`,
    );
  return { terms, result: [...(right ?? '')] };
}

/** The axes in this order; letters that are not asked for are summed over. */
function arranged({ letters, tensor }: Labelled, wanted: readonly string[]): tf.Tensor {
  const gone = letters.flatMap((letter, i) => (wanted.includes(letter) ? [] : [i]));
  const left = letters.filter((letter) => wanted.includes(letter));
  return tf.transpose(
    gone.length ? tf.sum(tensor, gone) : tensor,
    wanted.map((letter) => left.indexOf(letter)),
  );
}

/** The product of two tensors as one matrix product: letters of both that are still needed are its batch. */
function contract(a: Labelled, b: Labelled, needed: ReadonlySet<string>): Labelled {
  const both = a.letters.filter((letter) => b.letters.includes(letter));
  const batch = both.filter((letter) => needed.has(letter));
  const summed = both.filter((letter) => !needed.has(letter));
  const own = ({ letters }: Labelled) => letters.filter((letter) => !both.includes(letter) && needed.has(letter));
  const size = (letters: readonly string[]) =>
    letters.map((letter) => {
      const { letters: from, tensor } = a.letters.includes(letter) ? a : b;
      return at(tensor.shape, from.indexOf(letter));
    });
  const [rows, columns] = [own(a), own(b)];
  const matrix = (term: Labelled, first: readonly string[], second: readonly string[]) =>
    tf.reshape(arranged(term, [...batch, ...first, ...second]), [size(batch), size(first), size(second)].map(sizeOf));
  const product = tf.matMul(matrix(a, rows, summed), matrix(b, summed, columns));
  const letters = [...batch, ...rows, ...columns];
  return { letters, tensor: tf.reshape(product, size(letters)) };
}

export const einsums = {
  Einsum: composite<{ equation: string }>({
    inputs: 'list',
    compose(inputs, { equation }) {
      const { terms, result } = parse(equation, inputs.length);
      const labelled = inputs.map((tensor, i): Labelled => ({ tensor, letters: terms[i] ?? [] }));
      const total = labelled.reduce((product, term, i) =>
        contract(product, term, new Set([...result, ...terms.slice(i + 1).flat()])),
      );
      return arranged(total, result);
    },
    samples: [
      sample([real([2, 3]), real([3, 4])], (a, b) => tf.square(tf.einsum('ij,jk->ik', a, b))),
      sample([real([2, 3]), real([2, 4])], (a, b) => tf.square(tf.einsum('bi,bj->bij', a, b))),
      sample([real([2, 2, 3, 4]), real([2, 2, 2, 4])], (q, k) => tf.square(tf.einsum('bhqd,bhkd->bhqk', q, k))),
      sample([real([3]), real([4])], (a, b) => tf.square(tf.einsum('i,j->ji', a, b))),
      sample([real([2, 3, 4])], (x) => tf.square(tf.einsum('ijk->ki', x))),
    ],
  }),
} satisfies Record<string, Operation>;
