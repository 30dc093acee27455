import type * as tf from '@tensorflow/tfjs-core';
import { fill } from '@tensorflow/tfjs-core';
import { reverse, variable } from './autodiff.ts';
import { type Node, sameShape } from './graph.ts';
import { activeTrace } from './trace.ts';

/** Maps of the last convolution, `[batch, height, width, channels]`. */
export interface FeatureMaps {
  /** What f gave. */
  readonly value: tf.Tensor;
  readonly maps: tf.Tensor;
  /** Derivative of the sum of f's values with respect to the maps. */
  readonly gradient: tf.Tensor;
}

/**
 * Which maps: `linear` those that the convolution gives, with all that is added to them and scaled (a bias, a normalisation, the shortcut of a block) up to the
 * next rectifier or other elementary nonlinearity; `activation` those after it.
 */
export type MapsOf = 'linear' | 'activation';

const NONLINEAR: ReadonlySet<string> = new Set([
  ...['Relu', 'Maximum', 'Minimum', 'ClipByValue', 'Select', 'Step'],
  ...['Sigmoid', 'Tanh', 'Softplus', 'Erf', 'Exp'],
]);
/** Rearranged maps are none that could be laid over an image. */
const REARRANGED: ReadonlySet<string> = new Set(['Transpose']);

/**
 * The maps of the last convolution (with more than one place) on the way from x to f(x), and the derivatives with respect to them: what Grad-CAM weights. Works
 * only inside a function that the engine compiles.
 * @returns undefined where there is no such convolution
 */
export function lastFeatureMaps(
  f: (x: tf.Tensor) => tf.Tensor,
  x: tf.Tensor,
  which: MapsOf = 'activation',
): FeatureMaps | undefined {
  const trace = activeTrace('lastFeatureMaps');
  const marker = variable(trace, x, '');
  const value = f(trace.tensor(marker));
  const output = trace.node(value);
  const path = between(trace.builder.nodes, marker, output);
  const convolution = path.findLast(({ kernel, shape: [, height = 0, width = 0] }) => {
    return kernel === 'Conv2D' && height * width > 1;
  });
  if (!convolution) return undefined;
  const maps = lastOf(path, convolution, which);
  const [gradient] = reverse(trace, [maps], output, fill(value.shape, 1));
  return gradient && { value, maps: trace.tensor(maps), gradient };
}

/** Nodes that depend on the marker and that the output depends on, inputs of a node before the node. */
function between(nodes: readonly Node[], marker: Node, output: Node): Node[] {
  const from = new Set([marker]);
  for (const node of nodes.slice(marker.id + 1, output.id + 1))
    if (node.inputs.some((input) => from.has(input))) from.add(node);
  const needed = new Set([output]);
  for (const node of nodes.slice(marker.id, output.id + 1).reverse())
    if (needed.has(node)) for (const input of node.inputs) needed.add(input);
  return [...from].filter((node) => needed.has(node));
}

/** The last node that the convolution's maps became, elementwise or by a way that leaves their places alone. */
function lastOf(path: readonly Node[], convolution: Node, which: MapsOf): Node {
  const made = new Set([convolution]);
  let last = convolution;
  for (const node of path) {
    const stops = REARRANGED.has(node.kernel) || (which === 'linear' && NONLINEAR.has(node.kernel));
    if (stops || !node.inputs.some((input) => made.has(input))) continue;
    made.add(node);
    if (sameShape(node.shape, convolution.shape)) last = node;
  }
  return last;
}
