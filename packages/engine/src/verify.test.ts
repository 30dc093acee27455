import { describe, expect, test } from 'vitest';
import type { Graph, Node } from './graph.ts';
import { verifyGraph } from './verify.ts';

const node = (id: number, kernel: string, inputs: readonly Node[], rest: Partial<Node> = {}): Node => ({
  id,
  kernel,
  inputs,
  attributes: {},
  shape: [2],
  dtype: 'float32',
  ...rest,
});
const x = node(0, 'Input', [], { attributes: { name: 'x' } });
const y = node(1, 'Tanh', [x]);
const graph = (nodes: readonly Node[], outputs: readonly Node[]): Graph => ({
  name: 'f',
  nodes,
  inputs: [{ name: 'x', node: x }],
  outputs: outputs.map((output) => ({ name: 'y', node: output })),
});

describe('a graph', () => {
  test('with its nodes in order is valid', () => {
    expect(() => verifyGraph(graph([x, y], [y]))).not.toThrow();
  });

  const stranger = node(2, 'Square', [x]);
  const cases: readonly [string, Graph, RegExp][] = [
    [
      'whose nodes come before their inputs',
      graph([y, x], [y]),
      /graph 'f', %1 Tanh float32\[2\]: its input %0 does not come before it/,
    ],
    ['with a node twice', graph([x, y, y], [y]), /it occurs twice/],
    ['with an output that is no part of it', graph([x, y], [stranger]), /'y' is not part of the graph/],
    ['with an unknown kernel', graph([x, node(1, 'Nonsense', [x])], [x]), /it is no primitive operation/],
    ['with a composed operation', graph([x, node(1, 'Elu', [x])], [x]), /it is no primitive operation/],
    ['with a marker', graph([x, node(1, 'Identity', [x])], [x]), /markers do not belong/],
    ['with a wrong shape', graph([x, node(1, 'Tanh', [x], { shape: [3] })], [x]), /it should be float32\[2\]/],
    ['with a missing operand', graph([x, node(1, 'Add', [x])], [x]), /it has 1 inputs instead of 2/],
    ['with an empty constant', graph([x, node(1, 'Constant', [])], [x]), /a constant has no values/],
  ];
  test.each(cases)('%s is not', (_, invalid, message) => {
    expect(() => verifyGraph(invalid)).toThrow(message);
  });
});
