import { sizeOf } from '../ndarray.ts';
import { blockedImages, ceilTo, convDomain, type Geometry } from './convolution.ts';
import { filterGradientByProducts } from './gpu-convolution.ts';
import { at, type OnnxGraph, type OnnxNode } from './graph.ts';
import { groupsOf, ownGroups } from './groups.ts';
import { dimensions4, rows, rowsValue, type Value } from './layout.ts';

/**
 * dW[ky, kx, c, o] = sum over n, h, w of x[n, s*h + ky - p, s*w + kx - p, c] * dy[n, h, w, o], for a filter [kh, kw, I / groups, O]: a dilated
 * convolution over x whose filter is dy.
 */
export function convolveFilterGradient(
  graph: OnnxGraph,
  images: Value,
  dy: Value,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  if (graph.isForGpu) return filterGradientByProducts(graph, images, dy, geometry, shape);
  const [, , channelsIn, channelsOut] = dimensions4(shape);
  const isDepthwise = geometry.groups > 1 && channelsIn === 1 && channelsOut === geometry.groups;
  const gradient = isDepthwise && graph.block > 1 ? depthwiseGradient : groupedGradient;
  return rowsValue(gradient(graph, images, dy, geometry, shape), 'float32');
}

/** Every channel of every image is an image of its own, and a group: so neither x nor dy moves. */
function depthwiseGradient(
  graph: OnnxGraph,
  images: Value,
  dy: Value,
  geometry: Geometry,
  shape: readonly number[],
): OnnxNode {
  const b = graph.block;
  const [kh, kw, , channels] = dimensions4(shape);
  const [n, outHeight, outWidth] = dimensions4(dy.shape);
  const padded = ceilTo(channels, b);
  const source = { node: blockedImages(graph, images, padded), perRow: b, padded: n };
  const { x, rowsOfZeros } = pixelsRead(graph, images, dy, source, geometry, shape);
  const [, , height, columns] = dimensions4(x.shape);
  const attributes = {
    strides: [1, 1],
    pads: [rowsOfZeros[0], 0, rowsOfZeros[1], 0],
    dilations: geometry.strides,
    kernel_shape: [outHeight, outWidth],
    group: n * padded,
  };
  const inputs = [
    graph.reshape(x, [1, n * padded, height, columns / b]),
    graph.reshape(blockedImages(graph, dy, padded), [n * padded, 1, outHeight, outWidth]),
  ];
  const ofImages = graph.node('Conv', inputs, [1, n * padded, kh, kw], { domain: convDomain(graph), attributes });
  const sum = graph.reduce('ReduceSum', graph.reshape(ofImages, [n, padded / b, kh, kw, b]), [0]);
  const dw = graph.reshape(graph.transpose(sum, [1, 2, 0, 3]), [kh, kw, 1, padded]);
  return graph.slice(dw, [0, 0, 0, 0], shape);
}

/**
 * x's rows are read as an image of W*b columns, whose input channels are the images: output column kx*b + c is tap kx of channel c. So neither x
 * nor dy is transposed element by element.
 */
function groupedGradient(
  graph: OnnxGraph,
  images: Value,
  dy: Value,
  geometry: Geometry,
  shape: readonly number[],
): OnnxNode {
  const b = graph.block;
  const [kh, kw, ownIn, outputs] = dimensions4(shape);
  const [n, outHeight, outWidth] = dimensions4(dy.shape);
  const { strides, groups } = geometry;
  const { merged, count } = groupsOf(b, groups, ownIn, outputs / groups);
  const channelsIn = merged * ownIn; // of each of the `count` groups
  const channelsOut = ceilTo((merged * outputs) / groups, b);
  const perRow = channelsIn % b === 0 ? b : channelsIn; // channels that lie side by side
  const blocks = channelsIn / perRow;
  const { padded, part } = imageParts(n, count, b);
  const parts = padded / part;

  const node = perRow === b ? blockedImages(graph, images, count * channelsIn) : rows(graph, images);
  const { x, rowsOfZeros } = pixelsRead(graph, images, dy, { node, perRow, padded }, geometry, shape);
  const [, , height, width] = dimensions4(x.shape);
  const byBlock = graph.reordered(x, [padded, count, blocks, height, width], [2, 1, 0, 3, 4]);
  const cotangent = graph.pad(blockedImages(graph, dy, count * channelsOut), [0, 0, 0, 0], [padded - n, 0, 0, 0]);
  const pixels = outHeight * outWidth * b;
  const byGroup = graph.reordered(cotangent, [parts, part, count, channelsOut / b, pixels], [2, 0, 3, 1, 4]);

  const attributes = {
    strides: [1, 1],
    pads: [rowsOfZeros[0], 0, rowsOfZeros[1], 0],
    dilations: [strides[0], strides[1] * perRow],
    kernel_shape: [outHeight, outWidth],
    group: count * parts,
  };
  const inputs = [
    graph.reshape(byBlock, [blocks, count * padded, height, width]),
    graph.reshape(byGroup, [count * parts * channelsOut, part, outHeight, outWidth]),
  ];
  const ofParts = graph.node('Conv', inputs, [blocks, count * parts * channelsOut, kh, kw * perRow], {
    domain: convDomain(graph),
    attributes,
  });
  const split = graph.reshape(ofParts, [blocks, count, parts, channelsOut / b, kh, kw, perRow, b]);
  const sum = graph.reduce('ReduceSum', split, [2]);
  const dw = graph.reordered(sum, [blocks, count, channelsOut / b, kh, kw, perRow, b], [3, 4, 0, 5, 1, 2, 6]);
  const full = graph.reshape(dw, [kh, kw, channelsIn, count * channelsOut]);
  const used = graph.slice(full, [0, 0, 0, 0], [kh, kw, channelsIn, (count * merged * outputs) / groups]);
  return ownGroups(graph, used, groups, shape);
}

/** How the images that the pixels come from lie: `perRow` channels side by side in rows, and so many images in the end. */
interface Source {
  readonly node: OnnxNode;
  readonly perRow: number;
  readonly padded: number;
}

/**
 * The pixels that taps read: [images, blocks, rows, columns * perRow]; images of zeros fill up. The columns of zeros around them are there (padding
 * columns inside Conv is slow here), the rows of zeros before and after are left to the convolution.
 */
function pixelsRead(
  graph: OnnxGraph,
  images: Value,
  dy: Value,
  { node, perRow, padded }: Source,
  { strides, before }: Geometry,
  kernel: readonly number[],
): { readonly x: OnnxNode; readonly rowsOfZeros: readonly [number, number] } {
  const [n, height, width] = dimensions4(images.shape);
  const axis = (i: 0 | 1) => {
    const reach = (at(dy.shape, i + 1) - 1) * strides[i] + at(kernel, i) - before[i]; // no tap reads what lies behind
    const size = at(images.shape, i + 1);
    return { behind: Math.min(0, reach - size), after: Math.max(0, reach - size) };
  };
  const [y, x] = [axis(0), axis(1)];
  const blocks = sizeOf(node.shape) / (n * height * width * perRow);
  const split = graph.reshape(node, [n, blocks, height, width * perRow]);
  const used = graph.pad(split, [0, 0, 0, 0], [padded - n, 0, y.behind, x.behind * perRow]);
  return { x: withZeroColumns(graph, used, [before[1] * perRow, x.after * perRow]), rowsOfZeros: [before[0], y.after] };
}

/** Zeros before and after the last axis. A concatenation, because ONNX Runtime divides it among threads, and Pad not. */
function withZeroColumns(graph: OnnxGraph, node: OnnxNode, [before, after]: readonly [number, number]): OnnxNode {
  const zeros = (width: number) => {
    const shape = [...node.shape.slice(0, -1), width];
    const zero = graph.constant(
      [0],
      shape.map(() => 1),
    );
    return width > 0 ? [graph.expand(zero, shape)] : [];
  };
  return graph.concat([...zeros(before), node, ...zeros(after)], node.shape.length - 1);
}

/**
 * The images in parts, one for each group of the convolution. The kernel that reads plain rows takes fewer than b input channels a group, and wants the
 * number of all channels (the images, `count` times) below b or a multiple of it: images of zeros fill up.
 */
function imageParts(images: number, count: number, block: number): { padded: number; part: number } {
  if (images >= block && block > 1) return { padded: ceilTo(images, block), part: block / 2 };
  let padded = images;
  while (count * padded >= block && (count * padded) % block !== 0) padded++;
  return { padded, part: padded === block && block > 1 ? block / 2 : padded };
}
