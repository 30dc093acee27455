import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from './errors.ts';
import { describe, fillValue, type Node, sameShape } from './graph.ts';
import type { Tree } from './ndarray.ts';
import { isPrimitive } from './operations/operation.ts';
import { fileOf, operations } from './operations/table.ts';
import { activeTrace, type Trace, unsupported } from './trace.ts';
import { flatten, isTensor, mapTree } from './tree.ts';

/**
 * The gradient of a scalar function. Like all derivatives here it works only inside a function that the engine compiles,
 * and may be nested to any depth.
 * @throws EngineError NO_GRADIENT if an operation on the way has no rule.
 */
export function grad<X extends tf.Tensor>(f: (x: X) => tf.Tensor): (x: X) => X {
  return (x) => valueAndGrad((variable: X) => f(variable), x).gradient;
}

/** A scalar and its gradient with respect to a tensor or a tree of tensors; what f does not depend on has gradient zero. */
export function valueAndGrad<P extends Tree<tf.Tensor>>(
  f: (parameters: P) => tf.Tensor,
  parameters: P,
): { value: tf.Tensor; gradient: P } {
  const trace = activeTrace('valueAndGrad');
  const leaves = flatten(parameters, isTensor, 'the variables of a gradient');
  const markers = leaves.map(({ name, value }) => variable(trace, value, name));
  const place = new Map(leaves.map(({ name }, i) => [name, i]));
  const rebuild = (tensors: readonly tf.Tensor[]) =>
    mapTree(parameters as Tree<tf.Tensor>, isTensor, (_, name) => tensors[place.get(name) ?? -1]) as P;
  const value = f(rebuild(markers.map((marker) => trace.tensor(marker))));
  if (value.size !== 1)
    throw new EngineError(
      'SHAPE_MISMATCH',
      `a gradient needs a scalar; '${trace.name}' gave float32[${value.shape}]: sum it, or use vjp`,
    );
  return { value, gradient: rebuild(reverse(trace, markers, trace.node(value), tf.fill(value.shape, 1))) };
}

/**
 * f(x), and the function that multiplies a cotangent (of the shape of f(x)) with the Jacobian of f. All cotangents share
 * the one forward pass.
 */
export function vjp<X extends tf.Tensor, Y extends tf.Tensor>(
  f: (x: X) => Y,
  x: X,
): { value: Y; pullback: (cotangent: tf.Tensor) => X } {
  const trace = activeTrace('vjp');
  const marker = variable(trace, x, '');
  const value = f(trace.tensor(marker) as X);
  const pullback = (cotangent: tf.Tensor) => {
    if (!sameShape(cotangent.shape, value.shape))
      throw new EngineError(
        'SHAPE_MISMATCH',
        `the cotangent has shape [${cotangent.shape}], the value of the function [${value.shape}]`,
      );
    const [gradient] = reverse(trace, [marker], trace.node(value), cotangent);
    return gradient as X;
  };
  return { value, pullback };
}

/**
 * f(x), and the product of the Jacobian of f with a tangent (of the shape of x): the directional derivative. It is the transposed pullback,
 * since that is linear in its cotangent; what only the pullback itself needed is dropped, so it costs what forward mode costs.
 */
export function jvp<X extends tf.Tensor, Y extends tf.Tensor>(
  f: (x: X) => Y,
  x: X,
  tangent: tf.Tensor,
): { value: Y; tangent: Y } {
  if (!sameShape(tangent.shape, x.shape))
    throw new EngineError('SHAPE_MISMATCH', `the tangent has shape [${tangent.shape}], the argument [${x.shape}]`);
  const { value, pullback } = vjp(f, x);
  const { pullback: pushforward } = vjp(pullback, tf.zeros(value.shape) as tf.Tensor);
  return { value, tangent: pushforward(tangent) as Y };
}

/** x, whose derivative counts as zero. */
export function stopGradient<X extends tf.Tensor>(x: X): X {
  const trace = activeTrace('stopGradient');
  return trace.tensor(trace.add('Identity', [trace.node(x)], { stop: true })) as X;
}

export function variable(trace: Trace, x: tf.Tensor, name: string): Node {
  const node = trace.node(x);
  if (node.dtype !== 'float32')
    throw new EngineError(
      'INVALID_INPUT',
      `a gradient with respect to ${name ? `'${name}', ` : ''}${describe(node)}: only float32 has one`,
    );
  return trace.marker(node);
}

/** The reverse pass: cotangents flow from the output to the markers, each node adding to those of its inputs. */
export function reverse(trace: Trace, markers: readonly Node[], output: Node, cotangent: tf.Tensor): tf.Tensor[] {
  const first = Math.min(...markers.map(({ id }) => id));
  const between = trace.builder.nodes.slice(first, output.id + 1);
  const depends = new Set<Node>(markers);
  for (const node of between) if (node.inputs.some((input) => depends.has(input))) depends.add(node);

  const made = trace.builder.nodes.length;
  const order = 1 + [...depends].reduce((most, node) => Math.max(most, trace.orderOf(node)), 0);
  const cotangents = new Map<Node, tf.Tensor>();
  if (depends.has(output)) cotangents.set(output, cotangent);
  const ends = new Set(markers);
  for (const node of between.reverse()) {
    const dy = cotangents.get(node);
    if (!dy || ends.has(node)) continue;
    const gradients = gradientsOf(trace, node, dy);
    for (const [i, input] of node.inputs.entries()) {
      const gradient = gradients[i];
      if (!gradient || input.dtype !== 'float32' || !depends.has(input)) continue;
      const contribution = gradient();
      if (!sameShape(contribution.shape, input.shape))
        throw new EngineError(
          'INVALID_GRAPH',
          `the rule of ${node.kernel} gives [${contribution.shape}] for an input [${input.shape}]`,
        );
      const sum = cotangents.get(input);
      cotangents.set(input, sum ? tf.add(sum, contribution) : contribution);
    }
  }
  for (const node of trace.builder.nodes.slice(made)) trace.setOrder(node, order);
  return markers.map((marker) => cotangents.get(marker) ?? tf.fill([...marker.shape], 0));
}

function gradientsOf(trace: Trace, node: Node, dy: tf.Tensor): readonly ((() => tf.Tensor) | undefined)[] {
  const operation = operations.get(node.kernel);
  if (!operation || !isPrimitive(operation)) throw unsupported(node.kernel, trace);
  if (operation.gradient === 'zero') return [];
  if (!operation.gradient)
    throw new EngineError(
      'NO_GRADIENT',
      `${node.kernel} in '${trace.name}' has no rule, which the ${ordinal(trace.orderOf(node) + 1)} derivative needs: it belongs into its row in ${fileOf(node.kernel)}`,
    );
  const inputs = node.inputs.map((input) => trace.tensor(input));
  const fills = node.inputs.map(fillValue);
  return operation.gradient({ dy, inputs, output: trace.tensor(node), attributes: node.attributes, fills });
}

function ordinal(order: number): string {
  return ['first', 'second', 'third'][order - 1] ?? `${order}th`;
}
