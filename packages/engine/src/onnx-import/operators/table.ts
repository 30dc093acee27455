import type { FileNode } from '../decode.ts';
import type { OnnxOperator, OperatorTable } from '../operator.ts';
import { classicalOperators } from './classical.ts';
import { convolutionOperators } from './convolution.ts';
import { creationOperators } from './creation.ts';
import { elementwiseOperators } from './elementwise.ts';
import { indexingOperators } from './indexing.ts';
import { normalizationOperators } from './normalization.ts';
import { poolingOperators } from './pooling.ts';
import { productOperators } from './product.ts';
import { reductionOperators } from './reduction.ts';
import { resizingOperators } from './resizing.ts';
import { shapeOperators } from './shape.ts';

/** Every operator that `importOnnx` reads, by domain ('' is standard ONNX); adding one is a row in one of these tables. */
const tables: ReadonlyMap<string, readonly OperatorTable[]> = new Map([
  [
    '',
    [
      convolutionOperators,
      creationOperators,
      elementwiseOperators,
      indexingOperators,
      normalizationOperators,
      poolingOperators,
      productOperators,
      reductionOperators,
      resizingOperators,
      shapeOperators,
    ],
  ],
  ['ai.onnx.ml', [classicalOperators]],
]);

/** Operators that have no gradient or no fixed shape, and why: part of the message when a model uses one. */
const refused: Readonly<Record<string, string>> = {
  ...reasons('its rounding has no useful gradient: import the model before quantisation', [
    'ConvInteger',
    'DequantizeLinear',
    'DynamicQuantizeLinear',
    'MatMulInteger',
    'QLinearConv',
    'QLinearMatMul',
    'QuantizeLinear',
  ]),
  ...reasons('trees have no gradient: attack the model as a black box', [
    'TreeEnsemble',
    'TreeEnsembleClassifier',
    'TreeEnsembleRegressor',
  ]),
  ...reasons('loops and recurrent layers are not supported', ['GRU', 'LSTM', 'Loop', 'RNN', 'Scan']),
  ...reasons('the shape of its result depends on the numbers of its inputs', [
    'Compress',
    'NonMaxSuppression',
    'NonZero',
    'Unique',
  ]),
  ...reasons('it draws random numbers: export the model after model.eval()', [
    'Bernoulli',
    'Multinomial',
    'RandomNormal',
    'RandomNormalLike',
    'RandomUniform',
    'RandomUniformLike',
  ]),
};

function reasons(reason: string, operators: readonly string[]): Record<string, string> {
  return Object.fromEntries(operators.map((operator) => [operator, reason]));
}

export function findOperator({ domain, operator }: Pick<FileNode, 'domain' | 'operator'>): OnnxOperator | undefined {
  for (const table of tables.get(domain) ?? []) if (Object.hasOwn(table, operator)) return table[operator];
  return undefined;
}

/** Why an operator cannot be had, if that is known. */
export function whyRefused(operator: string): string {
  return Object.hasOwn(refused, operator) ? (refused[operator] ?? '') : `its row belongs into a table of ${TABLE}`;
}

/** What `importOnnx` reads, for documentation: operators by domain, in alphabetical order; `If` is resolved while reading. */
export function onnxOperators(): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    [...tables].map(([domain, list]) => {
      const names = list.flatMap((table) => Object.keys(table));
      return [domain || 'ai.onnx', (domain ? names : [...names, 'If']).toSorted()];
    }),
  );
}

const TABLE = 'packages/engine/src/onnx-import/operators';
