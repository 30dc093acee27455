import type { Geometry } from './convolution.ts';
import { at, DOMAIN, type OnnxGraph, type OnnxNode } from './graph.ts';
import { blockedValue, dimensions4, rows, rowsToBlocked, rowsValue, type Value } from './layout.ts';

/** A product is cut into tiles of this size, and all together should make so many of them. */
const [TILE, MOST_TILES] = [128, 384];

/**
 * dW[ky, kx, c, o] = sum over n, h, w of x[n, s*h + ky - p, s*w + kx - p, c] * dy[n, h, w, o] as a product of matrices: what each tap sees, gathered side by
 * side, times dy; in groups of channels a product for each. cuDNN has kernels for this, but ONNX has no operator that reaches them, and as a convolution with a filter as large as dy it is slow. The
 * images are divided into parts, each with a product of its own, because a product with few rows and columns would leave most of a GPU idle.
 */
export function filterGradientByProducts(
  graph: OnnxGraph,
  images: Value,
  dy: Value,
  geometry: Geometry,
  shape: readonly number[],
): Value {
  const [kh, kw, channelsIn, outputs] = dimensions4(shape);
  const [n, outHeight, outWidth] = dimensions4(dy.shape);
  const { groups } = geometry; // of channels
  const channelsOut = outputs / groups;
  const places = outHeight * outWidth;
  const [taps, size] = [kh * kw, kh * kw * channelsIn];
  const { image, seen } = seenByTaps(graph, planes(graph, images), geometry, [kh, kw], [outHeight, outWidth]);
  const [, height, width] = dimensions4(image.shape);
  const order = Array.from(
    { length: kh * kw * places },
    (_, i) => seen[i % (kh * kw)]?.[Math.floor(i / (kh * kw))] ?? 0,
  );
  const gathered = graph.gather(graph.reshape(image, [n, height * width, groups * channelsIn]), order, 1);
  const tiles = groups * Math.ceil(size / TILE) * Math.ceil(channelsOut / TILE);
  const parts = largestDivisor(n, MOST_TILES / tiles); // of the images
  const length = (n / parts) * places;
  const seenByGroup = graph.reordered(gathered, [parts, length, taps, groups, channelsIn], [0, 3, 1, 2, 4]);
  const dyOfGroup = graph.reordered(rows(graph, dy), [parts, length, groups, channelsOut], [0, 2, 1, 3]);
  const product = matMul(
    graph,
    graph.reshape(seenByGroup, [parts * groups, length, size]),
    graph.reshape(dyOfGroup, [parts * groups, length, channelsOut]),
    [parts * groups, size, channelsOut],
    { transA: 1 },
  );
  const sum = graph.reduce('ReduceSum', graph.reshape(product, [parts, groups, size, channelsOut]), [0]);
  return rowsValue(graph.reshape(graph.reordered(sum, [groups, size, channelsOut], [1, 0, 2]), shape), 'float32');
}

/** The images [N, H, W, C] with the geometry's padding, and for each tap the positions in them, numbered row by row, that it sees. */
function seenByTaps(
  graph: OnnxGraph,
  source: OnnxNode,
  { strides, before }: Geometry,
  kernel: readonly [number, number],
  out: readonly [number, number],
): { image: OnnxNode; seen: readonly (readonly number[])[] } {
  const [n, c, ...sizes] = dimensions4(source.shape);
  const reach = sizes.map((_, axis) => (at(out, axis) - 1) * at(strides, axis) + at(kernel, axis));
  const behind = reach.map((length, axis) => length - at(before, axis) - at(sizes, axis));
  const positive = (widths: readonly number[]) => widths.map((width) => Math.max(0, width));
  const begin = positive(before.map((width) => -width));
  const end = behind.map((width, axis) => at(sizes, axis) + Math.min(0, width));
  // on planes: padding rows of channels is ten times slower
  const cut = graph.slice(source, [0, 0, ...begin], [n, c, ...end]);
  const padded = graph.pad(cut, [0, 0, ...positive(before)], [0, 0, ...positive(behind)]);
  const [kh, kw] = kernel;
  const [outHeight, outWidth] = out;
  const [sh, sw] = strides;
  const seen = range(kh).flatMap((ky) =>
    range(kw).map((kx) =>
      range(outHeight).flatMap((h) => range(outWidth).map((w) => (h * sh + ky) * at(reach, 1) + w * sw + kx)),
    ),
  );
  return { image: graph.transpose(padded, [0, 2, 3, 1]), seen };
}

function largestDivisor(of: number, most: number): number {
  for (let divisor = Math.min(of, Math.floor(most)); divisor > 1; divisor--) if (of % divisor === 0) return divisor;
  return 1;
}

function matMul(
  graph: OnnxGraph,
  a: OnnxNode,
  b: OnnxNode,
  shape: readonly number[],
  attributes: Record<string, number>,
) {
  return graph.node('FusedMatMul', [a, b], shape, { domain: DOMAIN.microsoft, attributes });
}

function planes(graph: OnnxGraph, value: Value): OnnxNode {
  return value.layout === 'blocked' ? value.node : rowsToBlocked(graph, rows(graph, value));
}

/** The input gradient as one transposed convolution: what cuDNN calls so itself. */
export function inputGradientByTransposed(
  graph: OnnxGraph,
  dy: Value,
  filter: OnnxNode,
  { strides, before, groups }: Geometry,
  shape: readonly number[],
): Value {
  const [n, height, width, channels] = dimensions4(shape);
  const [kh, kw] = dimensions4(filter.shape);
  const [, outHeight, outWidth] = dimensions4(dy.shape);
  // what all taps together reach, of which the images are a part
  const reach = [(outHeight - 1) * strides[0] + kh, (outWidth - 1) * strides[1] + kw];
  const behind = [height, width].map((size, axis) => at(reach, axis) - at(before, axis) - size);
  // one padding for both sides of an axis is all that cuDNN knows; the rest is cut off, or zeros
  const pads = [0, 1].map((axis) => Math.max(0, Math.min(at(before, axis), at(behind, axis))));
  const size = reach.map((length, axis) => length - 2 * at(pads, axis));
  const attributes = { strides, pads: [...pads, ...pads], kernel_shape: [kh, kw], group: groups };
  const inputs = [planes(graph, dy), graph.transpose(filter, [3, 2, 0, 1])];
  const result = graph.node('ConvTranspose', inputs, [n, channels, ...size], { attributes });
  const surplus = (widths: readonly number[]) => [0, 1].map((axis) => Math.max(0, at(widths, axis) - at(pads, axis)));
  const missing = (widths: readonly number[]) => widths.map((width) => Math.max(0, -width));
  const padded = graph.pad(result, [0, 0, ...missing(before)], [0, 0, ...missing(behind)]);
  const begin = surplus(before);
  const dx = graph.slice(padded, [0, 0, ...begin], [n, channels, at(begin, 0) + height, at(begin, 1) + width]);
  return blockedValue(dx, shape);
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
