import { describe, expect, it } from 'vitest';
import { foldConstants } from './fold.ts';
import { OnnxGraph, type OnnxNode } from './graph.ts';

const numbers = ({ raw }: OnnxNode) => [...new Float32Array((raw ?? new Uint8Array()).slice().buffer)];
const fold = (graph: OnnxGraph, node: OnnxNode) =>
  foldConstants(graph, { nodes: graph.nodes, outputs: [{ name: 'y', node, dtype: 'float32' }] });

describe('constants are folded', () => {
  const graph = new OnnxGraph(1, { onlyStandard: true });
  const matrix = graph.constant([1, 2, 3, 4, 5, 6], [2, 3]);
  const row = graph.constant([10, 20, 40], [3]);
  const column = graph.constant([1, 4], [2, 1]);
  const cube = graph.constant([0, 1, 2, 3, 4, 5, 6, 7], [2, 2, 2]);
  const made: readonly [string, OnnxNode, readonly number[]][] = [
    [
      'a transposed matrix',
      graph.node('Transpose', [matrix], [3, 2], { attributes: { perm: [1, 0] } }),
      [1, 4, 2, 5, 3, 6],
    ],
    [
      'a cube with its axes moved round',
      graph.node('Transpose', [cube], [2, 2, 2], { attributes: { perm: [2, 0, 1] } }),
      [0, 2, 4, 6, 1, 3, 5, 7],
    ],
    ['another shape', graph.reshape(matrix, [6]), [1, 2, 3, 4, 5, 6]],
    ['rows times a row', graph.node('Mul', [matrix, row], [2, 3]), [10, 40, 120, 40, 100, 240]],
    ['a column and a row', graph.node('Sub', [column, row], [2, 3]), [-9, -19, -39, -6, -16, -36]],
    ['a sum', graph.node('Add', [row, matrix], [2, 3]), [11, 22, 43, 14, 25, 46]],
    [
      'a quotient in float32',
      graph.node('Div', [column, graph.scalar(3)], [2, 1]),
      [Math.fround(1 / 3), Math.fround(4 / 3)],
    ],
    ['roots of reciprocals', graph.node('Sqrt', [graph.node('Reciprocal', [column], [2, 1])], [2, 1]), [1, 0.5]],
  ];
  it.each(made)('%s', (_, node, expected) => {
    const { nodes, outputs } = fold(graph, node);
    expect(outputs[0]?.node.shape).toEqual(node.shape);
    expect(numbers(outputs[0]?.node as OnnxNode)).toEqual(expected);
    expect(nodes).toEqual([outputs[0]?.node]);
  });
});

it('what depends on an input stays, in order, and has the folded constants before it', () => {
  const graph = new OnnxGraph(1, { onlyStandard: true });
  const x = graph.input('x', [2], 'float32');
  const twice = graph.node('Mul', [graph.constant([1, 2], [2]), graph.scalar(2)], [2]);
  const exponent = graph.node('Exp', [graph.constant([0, 1], [2])], [2]);
  const y = graph.node('Add', [graph.node('Mul', [x, twice], [2]), exponent], [2]);
  const { nodes, outputs } = fold(graph, y);
  expect(nodes.map(({ operator }) => operator)).toEqual(['Constant', 'Constant', 'Input', 'Exp', 'Mul', 'Add']);
  expect(nodes.filter(({ operator }) => operator === 'Constant').map(numbers)).toContainEqual([2, 4]);
  expect(outputs.map(({ node }) => node.operator)).toEqual(['Add']);
});
