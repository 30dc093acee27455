import { at, DOMAIN, type OnnxGraph, type OnnxNode } from './graph.ts';
import { wholeGroups } from './groups.ts';
import {
  blockedToRows,
  blockedValue,
  dimensions4,
  rows,
  rowsToBlocked,
  rowsValue,
  splitBlocks,
  type Value,
} from './layout.ts';

/** Strides, paddings and groups of a 2-D convolution; axis 0 is vertical. */
export interface Geometry {
  readonly strides: readonly [number, number];
  /** Rows or columns of zeros before each axis; negative: so many are cut off. */
  readonly before: readonly [number, number];
  /** ... and after it. */
  readonly after: readonly [number, number];
  /** So many groups of neighbouring channels, each of which makes its share of the output channels. */
  readonly groups: number;
}

/**
 * Convolution of images [N, H, W, I] with a filter [kh, kw, I / groups, O]. All three convolutions (this one, its input gradient, its
 * filter gradient) become the one operator that is fast: ONNX Runtime's direct convolution on blocked images. With block 1 the
 * same code emits standard ONNX.
 */
export function convolve(
  graph: OnnxGraph,
  images: Value,
  filter: Value,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const whole = wholeGroups(graph, rows(graph, filter), geometry.groups);
  const convolution = directConvolution(graph, images, whole.filter, { ...geometry, groups: whole.groups });
  return unpadChannels(graph, convolution, shape);
}

/** The one operator: images and filter (of whole groups) brought into its layout, channels padded to whole blocks. */
export function directConvolution(
  graph: OnnxGraph,
  images: Value,
  filter: OnnxNode,
  { strides, before, after, groups }: Geometry,
): OnnxNode {
  const b = graph.block;
  const [kh, kw, channelsIn, channelsOut] = dimensions4(filter.shape);
  const paddedOut = ceilTo(channelsOut, b);
  const isPlain = groups === 1 && channelsIn < b; // fewer channels than a block: this kernel reads plain NCHW
  const isSingle = channelsIn < b; // one channel a group: the order of the filter is the same
  const paddedIn = isSingle ? channelsIn : ceilTo(channelsIn, b);
  const operand = isPlain
    ? graph.transpose(rows(graph, images), [0, 3, 1, 2])
    : blockedImages(graph, images, paddedIn * groups);
  const input = cropped(graph, operand, { isPlain, before, after });
  const f = graph.pad(filter, [0, 0, 0, 0], [0, 0, paddedIn - channelsIn, paddedOut - channelsOut]);
  const [pixels, blocks] = [kh * kw, paddedOut / b];
  const ordered =
    isSingle || pixels === 1
      ? graph.reordered(f, [pixels, paddedIn, blocks, b], [2, 1, 0, 3])
      : graph.reordered(f, [kh, kw, paddedIn / b, b, blocks, b], [4, 2, 0, 1, 3, 5]);
  const [n, , h, w] = dimensions4(input.shape);
  const pads = [...before, ...after].map((width) => Math.max(0, width));
  const out = (size: number, kernel: number, axis: 0 | 1) =>
    Math.floor((size + at(pads, axis) + at(pads, axis + 2) - kernel) / strides[axis]) + 1;
  const attributes = { strides, pads, dilations: [1, 1], kernel_shape: [kh, kw], group: groups };
  const inputs = [input, graph.reshape(ordered, [paddedOut, paddedIn, kh, kw])];
  return graph.node('Conv', inputs, [n, paddedOut, out(h, kh, 0), out(w, kw, 1)], {
    domain: convDomain(graph),
    attributes,
  });
}

/** Images as a blocked node of so many channels: zeros fill up. */
export function blockedImages(graph: OnnxGraph, images: Value, channels: number): OnnxNode {
  const missing = channels - at(images.shape, 3);
  if (images.layout === 'blocked') return graph.pad(images.node, [0, 0, 0, 0], [0, missing, 0, 0]);
  return rowsToBlocked(graph, graph.pad(rows(graph, images), [0, 0, 0, 0], [0, 0, 0, missing]));
}

/** What a negative padding cuts off; input gradients ask for it where the convolution was padded beyond its kernel. */
function cropped(
  graph: OnnxGraph,
  input: OnnxNode,
  { isPlain, before, after }: { isPlain: boolean } & Pick<Geometry, 'before' | 'after'>,
): OnnxNode {
  if ([...before, ...after].every((width) => width >= 0)) return input;
  const [n, c, h, w] = dimensions4(input.shape);
  const [top, left] = before.map((width) => Math.max(0, -width));
  const [bottom, right] = [h + Math.min(0, after[0]), w + Math.min(0, after[1])];
  const split = isPlain ? input : splitBlocks(graph, input);
  const begin = split.shape.map((_, i) => [0, 0, top ?? 0, left ?? 0, 0][i] ?? 0);
  const end = split.shape.map((dimension, i) => (i === 2 ? bottom : i === 3 ? right : dimension));
  return graph.reshape(graph.slice(split, begin, end), [n, c, bottom - (top ?? 0), right - (left ?? 0)]);
}

/** A blocked result whose channels were padded goes back to rows without the padding. */
export function unpadChannels(graph: OnnxGraph, node: OnnxNode, shape: readonly number[]): Value {
  if (node.shape[1] === shape[3]) return blockedValue(node, shape);
  return rowsValue(graph.slice(blockedToRows(graph, node), [0, 0, 0, 0], shape), 'float32');
}

export function convDomain(graph: OnnxGraph): string {
  return graph.block > 1 ? DOMAIN.blocked : DOMAIN.standard;
}

export function ceilTo(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
