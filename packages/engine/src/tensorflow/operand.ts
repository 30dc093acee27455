import { broadcastShape } from '../broadcast.ts';
import { sameShape } from '../graph.ts';
import type { DType } from '../ndarray.ts';
import type { Attributes, TensorflowGraph } from './graph.ts';

/**
 * A value of the graph as the rows see it. TensorFlow's element-wise operations broadcast by themselves, so a value that is
 * one number everywhere, or one value repeated, is only spread out where its full shape is needed.
 */
export interface Operand {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** The name of the value in its full shape. */
  full(): string;
  /** What broadcasts to it, if it is such a value. */
  readonly narrow?: Operand;
}

export function plain(name: string, shape: readonly number[], dtype: DType): Operand {
  return { shape, dtype, full: () => name };
}

/** A value that is spread out from another one, once, when it is asked for. */
export function spread(shape: readonly number[], dtype: DType, narrow: Operand, make: () => string): Operand {
  let name: string | undefined;
  const full = () => {
    name ??= make();
    return name;
  };
  return { shape, dtype, full, narrow: narrow.narrow ?? narrow };
}

/** An operation that works element by element and broadcasts. */
export function elementwise(
  graph: TensorflowGraph,
  operation: string,
  operands: readonly Operand[],
  attributes: Attributes,
): string {
  const shape = broadcastShape(...operands.map((operand) => operand.shape));
  const taken = [...operands];
  for (const [i, { narrow }] of operands.entries()) {
    if (!narrow) continue;
    const shapes = taken.map((other, j) => (i === j ? narrow : other).shape);
    if (sameShape(broadcastShape(...shapes), shape)) taken[i] = narrow;
  }
  return graph.node(
    operation,
    taken.map((operand) => operand.full()),
    attributes,
  );
}
