import { at, DOMAIN, type OnnxGraph, type OnnxNode } from './graph.ts';
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

/** Strides and paddings of a 2-D convolution; axis 0 is vertical. */
export interface Geometry {
  readonly strides: readonly [number, number];
  /** Rows or columns of zeros before each axis; negative: so many are cut off. */
  readonly before: readonly [number, number];
  /** ... and after it. */
  readonly after: readonly [number, number];
}

/**
 * Convolution of images [N, H, W, I] with a filter [kh, kw, I, O]. All three convolutions (this one, its input gradient, its
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
  return unpadChannels(graph, directConvolution(graph, images, rows(graph, filter), geometry), shape);
}

function directConvolution(
  graph: OnnxGraph,
  images: Value,
  filter: OnnxNode,
  { strides, before, after }: Geometry,
): OnnxNode {
  const b = graph.block;
  const [kh, kw, channelsIn, channelsOut] = dimensions4(filter.shape);
  const paddedOut = ceilTo(channelsOut, b);
  const isPlain = channelsIn < b; // fewer channels than a block: this kernel reads plain NCHW
  const paddedIn = isPlain ? channelsIn : ceilTo(channelsIn, b);
  const input = cropped(graph, imageOperand(graph, images, isPlain, paddedIn), { isPlain, before, after });
  const f = graph.pad(filter, [0, 0, 0, 0], [0, 0, paddedIn - channelsIn, paddedOut - channelsOut]);
  const ordered = isPlain
    ? graph.transpose(graph.reshape(f, [kh, kw, paddedIn, paddedOut / b, b]), [3, 2, 0, 1, 4])
    : graph.transpose(graph.reshape(f, [kh, kw, paddedIn / b, b, paddedOut / b, b]), [4, 2, 0, 1, 3, 5]);
  const [n, , h, w] = dimensions4(input.shape);
  const pads = [...before, ...after].map((width) => Math.max(0, width));
  const out = (size: number, kernel: number, axis: 0 | 1) =>
    Math.floor((size + at(pads, axis) + at(pads, axis + 2) - kernel) / strides[axis]) + 1;
  const attributes = { strides, pads, dilations: [1, 1], kernel_shape: [kh, kw], group: 1 };
  const inputs = [input, graph.reshape(ordered, [paddedOut, paddedIn, kh, kw])];
  return graph.node('Conv', inputs, [n, paddedOut, out(h, kh, 0), out(w, kw, 1)], {
    domain: convDomain(graph),
    attributes,
  });
}

function imageOperand(graph: OnnxGraph, images: Value, isPlain: boolean, paddedIn: number): OnnxNode {
  if (images.layout === 'blocked') return images.node;
  const node = rows(graph, images);
  if (isPlain) return graph.transpose(node, [0, 3, 1, 2]);
  return rowsToBlocked(graph, graph.pad(node, [0, 0, 0, 0], [0, 0, 0, paddedIn - at(node.shape, 3)]));
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
function unpadChannels(graph: OnnxGraph, node: OnnxNode, shape: readonly number[]): Value {
  if (node.shape[1] === shape[3]) return blockedValue(node, shape);
  return rowsValue(graph.slice(blockedToRows(graph, node), [0, 0, 0, 0], shape), 'float32');
}

/** One axis of the input gradient; see `convolveInputGradient`. */
interface Phases {
  /** Positions of dx that one position of the convolution yields. */
  readonly period: number;
  /** How many of them are computed: phases at the end that no tap reaches are zero. */
  readonly computed: number;
  /** Taps of the stride-1 kernel. */
  readonly taps: number;
  /** For each phase and tap the row of the filter, or the row of zeros behind its end. */
  readonly index: readonly number[];
  /** Positions that are computed. */
  readonly positions: number;
  readonly before: number;
  readonly after: number;
}

/**
 * dx[P*i + q] = sum_d dy[u*i + d] * w[q + p - s*d], with stride s, padding p: the P = s*u phases q of each axis are output
 * channels of one convolution of dy with stride u; a transposition interleaves them. u > 1 only fills up a block when there
 * are few input channels (the first layer).
 */
export function convolveInputGradient(
  graph: OnnxGraph,
  dy: Value,
  filterValue: Value,
  { strides, before }: Geometry,
  shape: readonly number[],
): Value {
  const b = graph.block;
  const filter = rows(graph, filterValue);
  const [n, height, width, channelsIn] = dimensions4(shape);
  const channelsOut = at(filter.shape, 3);
  const isWide = channelsIn % b === 0;
  const fits = (u: number) => !isWide && u * strides[0] * u * strides[1] * channelsIn <= b;
  let u = 1;
  while (fits(u * 2)) u *= 2;
  const axis = (a: 0 | 1, size: number) =>
    phases({
      kernel: at(filter.shape, a),
      stride: strides[a],
      padding: before[a],
      step: u,
      size,
      from: at(dy.shape, a + 1),
    });
  const y = axis(0, height);
  const x = axis(1, width);

  const zeroRow = (p: Phases, kernel: number) => (p.index.includes(kernel) ? 1 : 0);
  let f = graph.pad(filter, [0, 0, 0, 0], [zeroRow(y, at(filter.shape, 0)), zeroRow(x, at(filter.shape, 1)), 0, 0]);
  f = graph.gather(graph.gather(f, y.index, 0), x.index, 1);
  f = graph.reshape(f, [y.computed, y.taps, x.computed, x.taps, channelsIn, channelsOut]);
  f = graph.transpose(f, [1, 3, 5, 0, 2, 4]);
  f = graph.reshape(f, [y.taps, x.taps, channelsOut, y.computed * x.computed * channelsIn]);
  const z = directConvolution(graph, dy, f, {
    strides: [u, u],
    before: [y.before, x.before],
    after: [y.after, x.after],
  });
  if (y.period * x.period === 1) return unpadChannels(graph, z, shape);
  return isWide
    ? blockedValue(interleaveBlocked(graph, z, y, x, shape), shape)
    : rowsValue(interleaveRows(graph, z, y, x, [n, height, width, channelsIn]), 'float32');
}

function phases(o: {
  kernel: number;
  stride: number;
  padding: number;
  step: number;
  size: number;
  from: number;
}): Phases {
  const period = o.stride * o.step;
  const first = -Math.floor((o.kernel - 1 - o.padding) / o.stride);
  const last = Math.floor((period - 1 + o.padding) / o.stride);
  const taps = last - first + 1;
  const rowsOf = (q: number) =>
    Array.from({ length: taps }, (_, i) => q + o.padding - o.stride * (first + i)).map((k) =>
      k >= 0 && k < o.kernel ? k : o.kernel,
    );
  let computed = period;
  while (computed > 1 && rowsOf(computed - 1).every((k) => k === o.kernel)) computed--;
  const positions = Math.ceil(o.size / period);
  const after = (positions - 1) * o.step + taps - o.from + first;
  const index = Array.from({ length: computed }, (_, q) => rowsOf(q)).flat();
  return { period, computed, taps, index, positions, before: -first, after };
}

function interleaveBlocked(graph: OnnxGraph, z: OnnxNode, y: Phases, x: Phases, shape: readonly number[]): OnnxNode {
  const [n, height, width, channels] = dimensions4(shape);
  const b = graph.block;
  const blocks = channels / b;
  const split = graph.reshape(z, [n, y.computed, x.computed, blocks, y.positions, x.positions, b]);
  const image = finishInterleaving(graph, graph.transpose(split, [0, 3, 4, 1, 5, 2, 6]), y, x);
  return graph.reshape(graph.slice(image, [0, 0, 0, 0, 0], [n, blocks, height, width, b]), [
    n,
    channels,
    height,
    width,
  ]);
}

function interleaveRows(graph: OnnxGraph, z: OnnxNode, y: Phases, x: Phases, shape: readonly number[]): OnnxNode {
  const [n, height, width, channels] = dimensions4(shape);
  const used = y.computed * x.computed * channels;
  const plain = graph.slice(blockedToRows(graph, z), [0, 0, 0, 0], [n, y.positions, x.positions, used]);
  const split = graph.reshape(plain, [n, y.positions, x.positions, y.computed, x.computed, 1, channels]);
  const image = finishInterleaving(graph, graph.transpose(split, [0, 5, 1, 3, 2, 4, 6]), y, x);
  return graph.reshape(graph.slice(image, [0, 0, 0, 0, 0], [n, 1, height, width, channels]), [
    n,
    height,
    width,
    channels,
  ]);
}

/** [n, blocks, positions, phases, positions, phases, channels], phases padded to whole periods -> [n, blocks, H, W, channels]. */
function finishInterleaving(graph: OnnxGraph, value: OnnxNode, y: Phases, x: Phases): OnnxNode {
  const missing = [0, 0, 0, y.period - y.computed, 0, x.period - x.computed, 0];
  const full = graph.pad(value, Array<number>(7).fill(0), missing);
  return graph.reshape(full, [
    at(full.shape, 0),
    at(full.shape, 1),
    y.positions * y.period,
    x.positions * x.period,
    at(full.shape, 6),
  ]);
}

/**
 * dW[ky, kx, c, o] = sum over n, h, w of x[n, s*h + ky - p, s*w + kx - p, c] * dy[n, h, w, o]. dy is the filter of a dilated
 * convolution over x's rows read as an image of W*b columns, whose input channels are the images: output column kx*b + c is
 * tap kx of channel c. So neither x nor dy is transposed element by element.
 */
export function convolveFilterGradient(
  graph: OnnxGraph,
  images: Value,
  dy: Value,
  { strides, before }: Geometry,
  shape: readonly number[],
): Value {
  const b = graph.block;
  const [kh, kw, channelsIn, channelsOut] = dimensions4(shape);
  const [n, height, width] = dimensions4(images.shape);
  const [, outHeight, outWidth] = dimensions4(dy.shape);
  const [sh, sw] = strides;
  const paddedOut = ceilTo(channelsOut, b);
  const isBlocked = channelsIn % b === 0;
  const perRow = isBlocked ? b : channelsIn; // channels that lie side by side
  const blocks = channelsIn / perRow;

  const source = isBlocked ? blockedNode(graph, images) : rows(graph, images);
  const usedHeight = Math.min(height, (outHeight - 1) * sh + kh - before[0]); // no tap reads what lies behind
  const usedWidth = Math.min(width, (outWidth - 1) * sw + kw - before[1]);
  const after = [
    (outHeight - 1) * sh + kh - before[0] - usedHeight,
    (outWidth - 1) * sw + kw - before[1] - usedWidth,
  ] as const;
  const { padded, group } = imageGroups(n, b);
  const groups = padded / group;
  let x = graph.reshape(source, [n, blocks, height, width * perRow]);
  // padding columns inside Conv is slow here; a negative padding cuts off what no tap reads
  const columns = (after[1] + usedWidth - width) * perRow;
  x = graph.pad(x, [0, 0, 0, before[1] * perRow], [padded - n, 0, usedHeight - height, columns]);
  x = graph.transpose(x, [1, 0, 2, 3]);

  let f = isMultiple(channelsOut, b)
    ? blockedNode(graph, dy)
    : rowsToBlocked(graph, graph.pad(rows(graph, dy), [0, 0, 0, 0], [0, 0, 0, paddedOut - channelsOut]));
  f = graph.pad(f, [0, 0, 0, 0], [padded - n, 0, 0, 0]);
  f = graph.reshape(f, [groups, group, paddedOut / b, outHeight * outWidth * b]);
  f = graph.reshape(graph.transpose(f, [0, 2, 1, 3]), [groups * paddedOut, group, outHeight, outWidth]);

  const attributes = {
    strides: [1, 1],
    pads: [before[0], 0, after[0], 0],
    dilations: [sh, sw * perRow],
    kernel_shape: [outHeight, outWidth],
    group: groups,
  };
  const outShape = [blocks, groups * paddedOut, kh, kw * perRow];
  const y = graph.node('Conv', [x, f], outShape, { domain: convDomain(graph), attributes });
  const perImageGroup = graph.reshape(y, [blocks, groups, paddedOut / b, kh, kw, perRow, b]);
  const sum = graph.reduce('ReduceSum', perImageGroup, [1]);
  const dw = graph.reshape(graph.transpose(sum, [2, 3, 0, 4, 1, 5]), [kh, kw, channelsIn, paddedOut]);
  return rowsValue(graph.slice(dw, [0, 0, 0, 0], shape), 'float32');
}

/**
 * How many images one group of the filter gradient's convolution holds. The kernel that reads plain rows takes fewer than b
 * input channels a group, and wants the number of all channels below b or a multiple of it: zero images fill up.
 */
function imageGroups(images: number, block: number): { padded: number; group: number } {
  if (block === 1 || images < block) return { padded: images, group: images };
  return { padded: ceilTo(images, block), group: block / 2 };
}

function blockedNode(graph: OnnxGraph, value: Value): OnnxNode {
  return value.layout === 'blocked' ? value.node : rowsToBlocked(graph, rows(graph, value));
}

function convDomain(graph: OnnxGraph): string {
  return graph.block > 1 ? DOMAIN.blocked : DOMAIN.standard;
}

function ceilTo(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

function isMultiple(value: number, of: number): boolean {
  return value % of === 0;
}
