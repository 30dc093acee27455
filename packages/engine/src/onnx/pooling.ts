import { at, DOMAIN, type OnnxGraph, type OnnxNode } from './graph.ts';
import { blockedValue, dimensions4, rows, rowsValue, type Value } from './layout.ts';

/** Pooling over windows that neither overlap nor leave a rest: [N, H, W, C] -> [N, H/kh, W/kw, C]. */
export function pool(
  graph: OnnxGraph,
  operator: 'MaxPool' | 'AveragePool',
  images: Value,
  shape: readonly number[],
): Value {
  const [n, height, width, channels] = dimensions4(shape);
  const [kh, kw] = [at(images.shape, 1) / height, at(images.shape, 2) / width];
  if (images.layout === 'blocked') {
    const attributes = { kernel_shape: [kh, kw], strides: [kh, kw], pads: [0, 0, 0, 0] };
    const domain = graph.block > 1 ? DOMAIN.blocked : DOMAIN.standard;
    return blockedValue(
      graph.node(operator, [images.node], [n, channels, height, width], { domain, attributes }),
      shape,
    );
  }
  const windows = graph.reshape(rows(graph, images), [n, height, kh, width, kw, channels]);
  return rowsValue(graph.reduce(operator === 'MaxPool' ? 'ReduceMax' : 'ReduceMean', windows, [2, 4]), 'float32');
}

/** Each pixel repeated over a window: [N, H, W, C] -> [N, kh*H, kw*W, C]. */
export function repeatPixels(graph: OnnxGraph, images: Value, shape: readonly number[]): Value {
  if (images.layout === 'fill') return { ...images, shape };
  const [n, height, width, channels] = dimensions4(shape);
  const [, h, w] = dimensions4(images.shape);
  const repeat = (node: OnnxNode, outer: number, inner: number) =>
    graph.expand(graph.reshape(node, [outer, h, 1, w, 1, inner]), [outer, h, height / h, w, width / w, inner]);
  if (images.layout !== 'blocked')
    return rowsValue(graph.reshape(repeat(rows(graph, images), n, channels), shape), 'float32');
  const repeated = repeat(images.node, (n * channels) / graph.block, graph.block);
  return blockedValue(graph.reshape(repeated, [n, channels, height, width]), shape);
}
