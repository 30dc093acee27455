import * as tf from '@tensorflow/tfjs-core';
import type { Call } from '../call.ts';
import { dividedUnlessZero, euclideanNorm } from '../norms.ts';
import type { OperatorTable } from '../operator.ts';
import { plainValue, type Value } from '../value.ts';

/** Attributes that every model of scikit-learn writes as lists. */
function listOf(call: Call, name: string): number[] {
  const list = call.floats(name);
  if (list && list.length > 0) return [...list];
  throw call.error('MALFORMED_FILE', `its attribute ${name} is missing`);
}

/** (x - offset) * scale */
function scaler(call: Call): Value {
  const x = tf.cast(call.plain(0), 'float32');
  return plainValue(tf.mul(tf.sub(x, tf.tensor1d(listOf(call, 'offset'))), tf.tensor1d(listOf(call, 'scale'))));
}

/** Rows divided by their norm; MAX is the largest number, and not the largest size, in ONNX Runtime too. */
function normalizer(call: Call): Value {
  const x = tf.cast(call.plain(0), 'float32');
  const norm = call.text('norm', 'MAX');
  const size = {
    MAX: () => tf.max(x, -1, true),
    L1: () => tf.sum(tf.abs(x), -1, true),
    L2: () => euclideanNorm(x, -1),
  }[norm];
  if (!size) throw call.error('MALFORMED_FILE', `its norm is '${norm}'; there are MAX, L1, L2`);
  return plainValue(dividedUnlessZero(x, size()));
}

/** x W^T + b, with the coefficients [outputs, inputs] of the file. */
function linear(call: Call, outputs: number): tf.Tensor {
  const x = tf.cast(call.plain(0), 'float32');
  const coefficients = listOf(call, 'coefficients');
  const features = coefficients.length / outputs;
  if (features !== x.shape.at(-1))
    throw call.error(
      'SHAPE_MISMATCH',
      `${coefficients.length} coefficients for ${outputs} outputs of ${x.shape.at(-1)} features`,
    );
  const product = tf.matMul(x as tf.Tensor2D, tf.tensor2d(coefficients, [outputs, features]), false, true);
  const intercepts = call.floats('intercepts') ?? [];
  return intercepts.length > 0 ? tf.add(product, tf.tensor1d([...intercepts])) : product;
}

const AFTER: Readonly<Record<string, (scores: tf.Tensor) => tf.Tensor>> = {
  NONE: (scores) => scores,
  LOGISTIC: (scores) => tf.sigmoid(scores),
  SOFTMAX: (scores) => tf.softmax(scores),
};

function afterwards(call: Call, scores: tf.Tensor): tf.Tensor {
  const name = call.text('post_transform', 'NONE');
  const transform = AFTER[name];
  if (!transform)
    throw call.error('UNSUPPORTED_OPERATION', `post_transform '${name}'; there are ${Object.keys(AFTER).join(', ')}`);
  return transform(scores);
}

/** Label (a class's number) and scores. A binary model may state the scores of one class only: the other has their negative. */
function linearClassifier(call: Call): Value[] {
  const classes =
    call.integers('classlabels_ints')?.length || (call.node.attributes.get('classlabels_strings')?.texts.length ?? 0);
  const stated = call.floats('intercepts')?.length || classes;
  const given = linear(call, stated);
  const scores = classes === 2 && stated === 1 ? tf.concat([tf.neg(given), given], -1) : given;
  return [plainValue(tf.argMax(scores, -1)), plainValue(afterwards(call, scores))];
}

/** Operators of ai.onnx.ml that have gradients. Their coefficients are attributes of the file, and stay constants. */
export const classicalOperators = {
  LinearClassifier: { evaluate: linearClassifier },
  LinearRegressor: { evaluate: (call) => plainValue(afterwards(call, linear(call, call.integer('targets', 1)))) },
  Normalizer: { evaluate: normalizer },
  Scaler: { evaluate: scaler },
  // scores by label: the scores are what counts here
  ZipMap: { evaluate: (call) => call.value(0) },
} satisfies OperatorTable;
