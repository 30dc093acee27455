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

/**
 * One axis of an input gradient of stride s and padding p: dx[P*i + q] = sum over d of dy[u*i + d] * w[q + p - s*d] for each of the P = s*u
 * phases q. Every phase is a convolution of dy with stride u, whose kernel is the rows of w that the phase meets.
 */
interface Phase {
  /** The rows of the filter, in the order of the taps. */
  readonly rows: readonly number[];
  /** Rows of zeros before and after dy; negative: so many are cut off. */
  readonly before: number;
  readonly after: number;
}

interface PhaseAxis {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
  /** Positions of dy. */
  readonly from: number;
  /** Stride u of the convolutions. */
  readonly step: number;
  /** Positions of dx for each phase. */
  readonly positions: number;
}

/** The phase q alone: just the taps that lie in the filter. */
function phase(q: number, { kernel, stride, padding, from, step, positions }: PhaseAxis): Phase {
  const first = Math.ceil((q + padding - (kernel - 1)) / stride);
  const last = Math.floor((q + padding) / stride);
  const rows = Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => q + padding - stride * (first + i));
  return { rows, before: -first, after: (positions - 1) * step + last + 1 - from };
}

/** All phases with the same taps, those of the widest: rows that lie outside the filter point behind its end. */
function alignedPhases(axis: PhaseAxis): readonly Phase[] {
  const { kernel, stride, padding, from, step, positions } = axis;
  const period = stride * step;
  const first = Math.ceil((padding - (kernel - 1)) / stride);
  const last = Math.floor((period - 1 + padding) / stride);
  return Array.from({ length: period }, (_, q) => {
    const taps = Array.from({ length: last - first + 1 }, (_, i) => q + padding - stride * (first + i));
    const rows = taps.map((row) => (row >= 0 && row < kernel ? row : kernel));
    return { rows, before: -first, after: (positions - 1) * step + last + 1 - from };
  });
}

/** The input gradient of a convolution: [N, OH, OW, O] and a filter [kh, kw, I, O] -> [N, H, W, I]. */
export function convolveInputGradient(
  graph: OnnxGraph,
  dy: Value,
  filterValue: Value,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const filter = rows(graph, filterValue);
  return at(shape, 3) % graph.block === 0
    ? inputGradientByPhases(graph, dy, filter, geometry, shape)
    : inputGradientInOne(graph, dy, filter, geometry, shape);
}

function axesOf(step: number, dy: Value, filter: OnnxNode, { strides, before }: Geometry, shape: readonly number[]) {
  const axis = (a: 0 | 1): PhaseAxis => ({
    kernel: at(filter.shape, a),
    stride: strides[a],
    padding: before[a],
    from: at(dy.shape, a + 1),
    step,
    positions: Math.ceil(at(shape, a + 1) / (strides[a] * step)),
  });
  return { y: axis(0), x: axis(1) };
}

/** Whole blocks of channels: one convolution for each phase, so that no tap is computed in vain; then they are interleaved. */
function inputGradientByPhases(
  graph: OnnxGraph,
  dy: Value,
  filter: OnnxNode,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const [n, height, width, channels] = dimensions4(shape);
  const { y, x } = axesOf(1, dy, filter, geometry, shape);
  const size = [n, channels, y.positions, x.positions];
  const images = range(y.stride).flatMap((qy) =>
    range(x.stride).map((qx) => {
      const [down, across] = [phase(qy, y), phase(qx, x)];
      if (down.rows.length === 0 || across.rows.length === 0)
        return graph.expand(graph.constant([0], [1, 1, 1, 1]), size);
      const taps = graph.gather(graph.gather(filter, down.rows, 0), across.rows, 1);
      const padding = { before: [down.before, across.before], after: [down.after, across.after] } as const;
      return directConvolution(graph, dy, graph.transpose(taps, [0, 1, 3, 2]), { strides: [1, 1], ...padding });
    }),
  );
  const [only] = images;
  if (images.length === 1 && only) return blockedValue(only, shape);
  const [b, blocks] = [graph.block, channels / graph.block];
  const split = graph.reshape(graph.concat(images, 1), [n, y.stride, x.stride, blocks, y.positions, x.positions, b]);
  const interleaved = graph.reshape(graph.transpose(split, [0, 3, 4, 1, 5, 2, 6]), [
    n,
    blocks,
    y.positions * y.stride,
    x.positions * x.stride,
    b,
  ]);
  return blockedValue(
    graph.reshape(graph.slice(interleaved, [0, 0, 0, 0, 0], [n, blocks, height, width, b]), [
      n,
      channels,
      height,
      width,
    ]),
    shape,
  );
}

/** Less than a block of channels: the phases are output channels of one convolution, whose stride u makes enough of them to fill a block. */
function inputGradientInOne(
  graph: OnnxGraph,
  dy: Value,
  filter: OnnxNode,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const [n, height, width, channels] = dimensions4(shape);
  const channelsOut = at(filter.shape, 3);
  const [sh, sw] = geometry.strides;
  let u = 1;
  while (2 * u * sh * 2 * u * sw * channels <= graph.block) u *= 2;
  const { y, x } = axesOf(u, dy, filter, geometry, shape);
  const [down, across] = [alignedPhases(y), alignedPhases(x)];
  const [firstDown, firstAcross] = [down[0] as Phase, across[0] as Phase];

  const index = (phases: readonly Phase[]) => phases.flatMap((phase) => phase.rows);
  const zeroRow = (phases: readonly Phase[], kernel: number) => Number(index(phases).includes(kernel));
  let f = graph.pad(filter, [0, 0, 0, 0], [zeroRow(down, y.kernel), zeroRow(across, x.kernel), 0, 0]);
  f = graph.gather(graph.gather(f, index(down), 0), index(across), 1);
  const [tapsDown, tapsAcross] = [firstDown.rows.length, firstAcross.rows.length];
  f = graph.reshape(f, [down.length, tapsDown, across.length, tapsAcross, channels, channelsOut]);
  f = graph.transpose(f, [1, 3, 5, 0, 2, 4]);
  const used = down.length * across.length * channels;
  f = graph.reshape(f, [tapsDown, tapsAcross, channelsOut, used]);
  const z = directConvolution(graph, dy, f, {
    strides: [u, u],
    before: [firstDown.before, firstAcross.before],
    after: [firstDown.after, firstAcross.after],
  });
  const plain = graph.slice(blockedToRows(graph, z), [0, 0, 0, 0], [n, y.positions, x.positions, used]);
  const split = graph.reshape(plain, [n, y.positions, x.positions, down.length, across.length, channels]);
  const image = graph.reshape(graph.transpose(split, [0, 1, 3, 2, 4, 5]), [
    n,
    y.positions * down.length,
    x.positions * across.length,
    channels,
  ]);
  return rowsValue(graph.slice(image, [0, 0, 0, 0], [n, height, width, channels]), 'float32');
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
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
