import { broadcastShape } from '../broadcast.ts';
import { EngineError } from '../errors.ts';
import { sameShape } from '../graph.ts';
import type { DType } from '../ndarray.ts';
import { sizeOf } from '../ndarray.ts';
import { at, DOMAIN, type OnnxAttribute, type OnnxGraph, type OnnxNode } from './graph.ts';

/**
 * A value while it is lowered. `shape` is the shape that TensorFlow.js sees; how the numbers lie is the layout's business:
 * - `fill`: one number everywhere, made only where an operator cannot take a scalar;
 * - `broadcast`: `source` repeated to `shape`, made only where an operator does not broadcast;
 * - `rows`: row-major;
 * - `blocked`: an image batch [N, H, W, C] whose numbers lie as [N, C/b, H, W, b]; its ONNX node has the shape [N, C, H, W];
 * - `phases`: an image batch that is not put together yet: pixel (P*i + p, Q*j + q) is pixel (i, j) of the blocked image p*Q + q; `undefined` is zero.
 *   Only sums of such batches are made so; every other operation gets a blocked one.
 */
export type Value =
  | { readonly layout: 'fill'; readonly shape: readonly number[]; readonly dtype: DType; readonly value: number }
  | { readonly layout: 'broadcast'; readonly shape: readonly number[]; readonly dtype: DType; readonly source: Value }
  | { readonly layout: 'rows'; readonly shape: readonly number[]; readonly dtype: DType; readonly node: OnnxNode }
  | { readonly layout: 'blocked'; readonly shape: readonly number[]; readonly dtype: DType; readonly node: OnnxNode }
  | Phases;

interface Phases {
  readonly layout: 'phases';
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** [P, Q] */
  readonly period: readonly [number, number];
  readonly images: readonly (OnnxNode | undefined)[];
}

export function rowsValue(node: OnnxNode, dtype: DType, shape = node.shape): Value {
  return { layout: 'rows', node, shape, dtype };
}

export function blockedValue(node: OnnxNode, shape: readonly number[], dtype: DType = 'float32'): Value {
  return { layout: 'blocked', node, shape, dtype };
}

/** A number as an operand. */
export function scalarValue(value: number, dtype: DType = 'float32'): Value {
  return { layout: 'fill', shape: [], dtype, value };
}

/** The row-major node of a value. */
export function rows(graph: OnnxGraph, value: Value): OnnxNode {
  switch (value.layout) {
    case 'rows':
      return value.node;
    case 'blocked':
      return blockedToRows(graph, value.node);
    case 'phases':
      return rows(graph, settled(graph, value));
    case 'broadcast':
      return graph.expand(rows(graph, value.source), value.shape);
    case 'fill': {
      const scalar = graph.scalar(value.value, value.dtype);
      return sizeOf(value.shape) === 1
        ? graph.constant([value.value], value.shape, value.dtype)
        : graph.expand(scalar, value.shape);
    }
  }
}

export function reshapeValue(graph: OnnxGraph, value: Value, shape: readonly number[]): Value {
  if (sameShape(value.shape, shape)) return value;
  if (value.layout === 'fill') return { ...value, shape };
  return rowsValue(graph.reshape(rows(graph, value), shape), value.dtype);
}

/** [N, H, W, C] row-major to blocked; C must be a multiple of the block. With C = b the numbers lie the same way. */
export function rowsToBlocked(graph: OnnxGraph, node: OnnxNode): OnnxNode {
  const [n, h, w, c] = dimensions4(node.shape);
  const split = graph.reshape(node, [n, h, w, c / graph.block, graph.block]);
  return graph.reshape(graph.transpose(split, [0, 3, 1, 2, 4]), [n, c, h, w]);
}

/** Blocked to [N, H, W, C] row-major. */
export function blockedToRows(graph: OnnxGraph, node: OnnxNode): OnnxNode {
  const [n, c, h, w] = dimensions4(node.shape);
  return graph.reshape(graph.transpose(splitBlocks(graph, node), [0, 2, 3, 1, 4]), [n, h, w, c]);
}

/** A blocked node with its blocks as an axis of their own: [N, C/b, H, W, b]. */
export function splitBlocks(graph: OnnxGraph, node: OnnxNode): OnnxNode {
  const [n, c, h, w] = dimensions4(node.shape);
  return graph.reshape(node, [n, c / graph.block, h, w, graph.block]);
}

/** The value with its phases put together, if it has any. */
export function settled(graph: OnnxGraph, value: Value): Value {
  if (value.layout !== 'phases') return value;
  const { shape, dtype, images, period } = value;
  const [n, height, width, channels] = dimensions4(shape);
  const [b, blocks, [down, across]] = [graph.block, channels / graph.block, period];
  const [h, w] = [Math.ceil(height / down), Math.ceil(width / across)];
  const zero = graph.expand(graph.constant([0], [1, 1, 1, 1]), [n, channels, h, w]);
  const all = graph.concat(
    images.map((image) => image ?? zero),
    1,
  );
  const split = graph.reshape(all, [n, down, across, blocks, h, w, b]);
  const together = graph.reshape(graph.transpose(split, [0, 3, 4, 1, 5, 2, 6]), [n, blocks, h * down, w * across, b]);
  const used = graph.slice(together, [0, 0, 0, 0, 0], [n, blocks, height, width, b]);
  return blockedValue(graph.reshape(used, [n, channels, height, width]), shape, dtype);
}

/** The sum of two values phase by phase, if both are of the same phases: half as much to put together. */
export function sumOfPhases(graph: OnnxGraph, [a, b]: readonly Value[]): Value | undefined {
  if (a?.layout !== 'phases' || b?.layout !== 'phases') return undefined;
  if (!sameShape(a.shape, b.shape) || !sameShape(a.period, b.period)) return undefined;
  const images = a.images.map((image, i) => {
    const other = b.images[i];
    return image && other ? graph.node('Add', [image, other], image.shape) : (image ?? other);
  });
  return { ...a, images };
}

export function dimensions4(shape: readonly number[]): [number, number, number, number] {
  const [a, b, c, d] = shape;
  if (a === undefined || b === undefined || c === undefined || d === undefined || shape.length !== 4)
    throw new EngineError('SHAPE_MISMATCH', `[${shape}] should have four dimensions`);
  return [a, b, c, d];
}

interface ElementwiseOptions {
  readonly dtype?: DType;
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

/** Any operator that works element by element and broadcasts. The result is blocked if an operand of full shape is. */
export function elementwise(
  graph: OnnxGraph,
  operator: string,
  operands: readonly Value[],
  { dtype = operands[0]?.dtype ?? 'float32', attributes = {} }: ElementwiseOptions = {},
): Value {
  const values = withoutNeedlessBroadcasts(operands);
  const shape = broadcastShape(...values.map((value) => value.shape));
  const isBlocked = values.some((value) => value.layout === 'blocked' && sameShape(value.shape, shape));
  if (!isBlocked) {
    const inputs = rowOperands(graph, values, shape);
    return rowsValue(rowsOperator(graph, operator, inputs, shape, attributes), dtype);
  }
  const inputs = values.map((value) => blockedOperand(graph, value, shape));
  const [n, h, w, c] = dimensions4(shape);
  const withBias = operator === 'Add' && fuseBias(graph, inputs, values, c);
  if (withBias) return blockedValue(withBias, shape);
  if (inputs.every((input) => input.shape.length !== 5))
    return blockedValue(graph.node(operator, inputs, [n, c, h, w], { attributes }), shape, dtype);
  const split = inputs.map((input) => (input.shape.length === 4 ? splitBlocks(graph, input) : input));
  const result = graph.node(operator, split, [n, c / graph.block, h, w, graph.block], { attributes });
  return blockedValue(graph.reshape(result, [n, c, h, w]), shape, dtype);
}

/** A broadcast operand may be used unexpanded if the others still give the full shape. */
function withoutNeedlessBroadcasts(operands: readonly Value[]): Value[] {
  const shape = broadcastShape(...operands.map((value) => value.shape));
  const values = [...operands];
  for (const [i, value] of values.entries()) {
    if (value.layout !== 'broadcast') continue;
    const others = values.map((other, j) => (j === i ? value.source : other).shape);
    if (sameShape(broadcastShape(...others), shape)) values[i] = value.source;
  }
  return values;
}

function rowOperands(graph: OnnxGraph, values: readonly Value[], shape: readonly number[]): OnnxNode[] {
  const shapes = values.filter((value) => value.layout !== 'fill').map((value) => value.shape);
  const shapeIsGiven = shapes.length > 0 && sameShape(broadcastShape(...shapes), shape);
  return values.map((value) =>
    value.layout === 'fill' && shapeIsGiven
      ? oneNumber(graph, graph.scalar(value.value, value.dtype), shape)
      : oneNumber(graph, rows(graph, value), shape),
  );
}

/** ONNX Runtime is several times slower with an operand of shape [] than with one of shape [1]. */
function oneNumber(graph: OnnxGraph, node: OnnxNode, shape: readonly number[]): OnnxNode {
  return node.shape.length === 0 && shape.length > 0 ? graph.reshape(node, [1]) : node;
}

/**
 * An operator on operands of full shape or of one number. ONNX Runtime takes the last axis for its inner loop, so one of
 * length 1 costs ten times the time: such operands are flattened.
 */
function rowsOperator(
  graph: OnnxGraph,
  operator: string,
  inputs: readonly OnnxNode[],
  shape: readonly number[],
  attributes: Readonly<Record<string, OnnxAttribute>>,
): OnnxNode {
  const size = sizeOf(shape);
  const isFlat = inputs.every((input) => sameShape(input.shape, shape) || sizeOf(input.shape) === 1);
  if (!isFlat || shape.length < 2 || shape.at(-1) !== 1) return graph.node(operator, inputs, shape, { attributes });
  const flat = inputs.map((input) => graph.reshape(input, [sizeOf(input.shape)]));
  return graph.reshape(graph.node(operator, flat, [size], { attributes }), shape);
}

/** An operand as the blocked operator wants it: [N, C, H, W] blocked, a scalar, or something that broadcasts over blocks. */
function blockedOperand(graph: OnnxGraph, value: Value, shape: readonly number[]): OnnxNode {
  if (value.layout === 'fill') return oneNumber(graph, graph.scalar(value.value, value.dtype), shape);
  if (value.layout === 'blocked' && sameShape(value.shape, shape)) return value.node;
  const node = rows(graph, value);
  if (sizeOf(node.shape) === 1) return graph.reshape(node, [1]);
  if (sameShape(node.shape, shape)) return rowsToBlocked(graph, node);
  const padded = graph.reshape(node, [...Array<number>(4 - node.shape.length).fill(1), ...node.shape]);
  const [n, h, w, c] = dimensions4(padded.shape);
  const images = c === 1 ? graph.reshape(padded, [n, 1, h, w]) : rowsToBlocked(graph, padded);
  if (graph.block === 1) return images;
  return c === 1 ? graph.reshape(images, [n, 1, h, w, 1]) : splitBlocks(graph, images);
}

/** The blocked convolution takes a bias for free. */
function fuseBias(graph: OnnxGraph, inputs: readonly OnnxNode[], values: readonly Value[], channels: number) {
  for (const [i, j] of [
    [0, 1],
    [1, 0],
  ] as const) {
    const [conv, bias] = [inputs[i], inputs[j]];
    if (conv?.operator !== 'Conv' || conv.domain !== DOMAIN.blocked || conv.inputs.length > 2 || !bias) continue;
    if (sizeOf(bias.shape) !== channels || at(values[j]?.shape ?? [], (values[j]?.shape.length ?? 0) - 1) !== channels)
      continue;
    const { attributes, domain } = conv;
    return graph.node('Conv', [...conv.inputs, graph.reshape(bias, [channels])], conv.shape, { attributes, domain });
  }
  return undefined;
}
