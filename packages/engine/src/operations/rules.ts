// What the rows of the operation tables have in common.
import * as tf from '@tensorflow/tfjs-core';
import { broadcastShape, repeatedAxes } from '../broadcast.ts';
import { EngineError } from '../errors.ts';
import { type Attributes, type Draft, fillDraft, fillValue, type Node, sameShape } from '../graph.ts';
import type { DType } from '../ndarray.ts';
import { elementwise } from '../onnx/layout.ts';
import type { AddNode, Inferred, Primitive } from './operation.ts';

/** Runs a TensorFlow.js kernel that has no public function. */
export function runKernel(
  name: string,
  inputs: Readonly<Record<string, tf.Tensor>>,
  attributes: Attributes,
): tf.Tensor {
  return tf.engine().runKernel(name, { ...inputs }, attributes as tf.NamedAttrMap);
}

/** Ends of a clip that has only one: float32 reaches to 3.4028e38. */
export const LOWEST = -3.4e38;
export const HIGHEST = 3.4e38;

/** ReLU as a part of another function, which `withSoftplus` leaves alone. */
export function exactRelu(x: tf.Tensor): tf.Tensor {
  return runKernel('Relu', { x }, { isExact: true });
}

/** min(x, 0), with the slope 1 at 0, where a ReLU has 0: PyTorch and TensorFlow count 0 among the negative numbers. */
export function negativePart(x: tf.Tensor): tf.Tensor {
  return tf.clipByValue(x, LOWEST, 0);
}

// Rows know how many inputs they have; the type system does not.
export function single<T>(inputs: readonly T[]): T {
  return pick(inputs, 0);
}

export function pair<T>(inputs: readonly T[]): [T, T] {
  return [pick(inputs, 0), pick(inputs, 1)];
}

export function triple<T>(inputs: readonly T[]): [T, T, T] {
  return [pick(inputs, 0), pick(inputs, 1), pick(inputs, 2)];
}

function pick<T>(inputs: readonly T[], index: number): T {
  const item = inputs[index];
  if (item === undefined) throw new EngineError('INVALID_GRAPH', `an operation lacks its input ${index}`);
  return item;
}

export function inferElementwise(inputs: readonly Node[], dtype?: DType): Inferred {
  return { shape: broadcastShape(...inputs.map((input) => input.shape)), dtype: dtype ?? single(inputs).dtype };
}

/** Adjoint of broadcasting: sums over what was repeated. */
export function sumTo(value: tf.Tensor, shape: readonly number[]): tf.Tensor {
  if (sameShape(value.shape, shape)) return value;
  const axes = repeatedAxes(shape, value.shape);
  return tf.reshape(axes.length ? tf.sum(value, axes) : value, [...shape]);
}

/** A mask as float32 numbers: cheaper to multiply with than to select by. */
export function asFloat(mask: tf.Tensor): tf.Tensor {
  return tf.cast(mask, 'float32');
}

export function fillNode(add: AddNode, shape: readonly number[], value: number, dtype: DType): Node {
  const { attributes } = fillDraft(shape, value, dtype);
  return add('Fill', [], attributes);
}

/** `node` repeated to `shape`. */
export function broadcastNode(add: AddNode, node: Node, shape: readonly number[]): Node {
  if (sameShape(node.shape, shape)) return node;
  const value = fillValue(node);
  if (value !== undefined) return fillNode(add, shape, value, node.dtype);
  const full = [...Array<number>(shape.length - node.shape.length).fill(1), ...node.shape];
  const reps = shape.map((dimension, i) => (full[i] === dimension ? 1 : dimension));
  return add('Tile', [add('Reshape', [node], { shape: full })], { reps });
}

/** The node that was repeated to make this one, if it is a broadcast. */
export function broadcastSource(node: Node): Node | undefined {
  const source = node.inputs[0];
  if (node.kernel !== 'Tile' || !source) return undefined;
  return isBroadcast(source.shape, node.attributes.reps as readonly number[]) ? source : undefined;
}

export function isBroadcast(shape: readonly number[], reps: readonly number[]): boolean {
  return shape.every((dimension, i) => dimension === 1 || reps[i] === 1);
}

/** Operations on fills are fills; operations on one broadcast value (and fills) are done before it is repeated. */
export function simplifyElementwise(
  draft: Draft,
  add: AddNode,
  evaluate?: (...values: number[]) => number,
): Node | undefined {
  const fills = draft.inputs.map(fillValue);
  if (fills.every((value) => value !== undefined))
    return evaluate && fillNode(add, draft.shape, roundTo(draft.dtype, evaluate(...fills)), draft.dtype);
  const varying = draft.inputs.filter((_, i) => fills[i] === undefined);
  const source = varying.length === 1 && varying[0] ? broadcastSource(varying[0]) : undefined;
  if (!source) return undefined;
  const inputs = draft.inputs.map((input, i) => {
    const value = fills[i];
    return value === undefined ? source : fillNode(add, [], value, input.dtype);
  });
  return broadcastNode(add, add(draft.kernel, inputs, draft.attributes), draft.shape);
}

function roundTo(dtype: DType, value: number): number {
  if (dtype === 'float32') return Math.fround(value);
  return dtype === 'int32' ? value | 0 : Number(value !== 0);
}

interface ElementwiseRow extends Pick<Primitive, 'inputs' | 'gradient' | 'samples'> {
  /** The ONNX operator that does the same. */
  readonly operator: string;
  /** The operation on numbers, to fold fills; without it they are left to the engine. */
  readonly evaluate?: (...values: number[]) => number;
  /** dtype of the result (default: that of the first input). */
  readonly dtype?: DType;
  readonly simplify?: Primitive['simplify'];
}

/** A row of an operation that works element by element and is one ONNX operator. */
export function elementwiseRow({ operator, evaluate, dtype, simplify, ...row }: ElementwiseRow): Primitive {
  return {
    ...row,
    infer: (inputs) => inferElementwise(inputs, dtype),
    simplify: (draft, add) => simplify?.(draft, add) ?? simplifyElementwise(draft, add, evaluate),
    lower: (graph, inputs, node) => elementwise(graph, operator, inputs, { dtype: node.dtype }),
  };
}
