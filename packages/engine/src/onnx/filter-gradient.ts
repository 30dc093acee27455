import { ceilTo, convDomain, type Geometry } from './convolution.ts';
import { type OnnxGraph, type OnnxNode } from './graph.ts';
import { dimensions4, rows, rowsToBlocked, rowsValue, type Value } from './layout.ts';

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

function isMultiple(value: number, of: number): boolean {
  return value % of === 0;
}
