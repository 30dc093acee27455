import { BinaryReader } from '@bufbuild/protobuf/wire';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import type { Graph, Node } from '../graph.ts';
import { groupedConv2d } from '../layers/grouped-convolution.ts';
import { spec } from '../ndarray.ts';
import { isPrimitive } from '../operations/operation.ts';
import { operations } from '../operations/table.ts';
import { traceFunction } from '../trace-function.ts';
import { encodeSavedModel } from './encode.ts';
import { TensorflowGraph, type TensorflowNode } from './graph.ts';
import { lowerNodes, lowerToTensorflow } from './lower.ts';
import { tensorflowOperations } from './operations.ts';

/** Nodes of what a function is lowered to; it needs no TensorFlow. */
function lowered(fn: (x: tf.Tensor) => tf.Tensor, ...shape: number[]): readonly TensorflowNode[] {
  const target = new TensorflowGraph();
  lowerNodes(traceFunction(fn, spec(...shape), 'lowered').graph, target);
  return target.nodes;
}

const kindsOf = (nodes: readonly TensorflowNode[]) => nodes.map(({ operation }) => operation);

test('every operation that is recorded has a row', () => {
  const recorded = [...operations].filter(([, operation]) => isPrimitive(operation)).map(([kernel]) => kernel);
  expect(recorded.filter((kernel) => !tensorflowOperations[kernel])).toEqual([]);
});

test('an operation without a row is named, with the graph and the file where the row belongs', () => {
  const node: Node = { id: 0, kernel: 'Frobnicate', inputs: [], attributes: {}, shape: [], dtype: 'float32' };
  const graph: Graph = { name: 'widget', nodes: [node], inputs: [], outputs: [{ name: 'y', node }] };
  expect(() => lowerToTensorflow(graph)).toThrow(
    /Frobnicate in 'widget' cannot be lowered to TensorFlow: no row in packages\/engine\/src\/tensorflow\/operations\.ts/,
  );
});

describe('a value that is the same everywhere', () => {
  test('stays one number where TensorFlow broadcasts', () => {
    expect(kindsOf(lowered((x) => tf.mul(x, tf.fill([2, 3], 2)), 2, 3))).toEqual([
      'Placeholder',
      'Const',
      'Mul',
      'Identity',
    ]);
  });

  test('is spread out where its shape is needed', () => {
    expect(kindsOf(lowered((x) => tf.concat([x, tf.ones([1, 3])]), 2, 3))).toContain('Fill');
  });

  test('that was repeated is repeated only where its shape is needed', () => {
    const repeated = (x: tf.Tensor) => tf.tile(x, [4, 1]);
    expect(kindsOf(lowered((x) => tf.mul(repeated(x), tf.fill([4, 3], 2)), 1, 3))).toContain('Tile');
    expect(
      kindsOf(
        lowered(
          (x) =>
            tf.mul(
              repeated(x),
              tf.tensor2d(
                Array.from({ length: 12 }, (_, i) => i),
                [4, 3],
              ),
            ),
          1,
          3,
        ),
      ),
    ).not.toContain('Tile');
  });
});

describe('paddings of a convolution', () => {
  const padding = (nodes: readonly TensorflowNode[]) =>
    nodes.find(({ operation }) => operation === 'Conv2D')?.attributes.padding;
  const convolution = (pad: 'same' | 'valid' | number, strides: number) => (x: tf.Tensor) =>
    tf.conv2d(x as tf.Tensor4D, tf.ones([3, 3, 1, 1]), strides, pad);

  // oneDNN takes these two only
  test.each([
    ['same', 1, 'SAME', false],
    ['same', 2, 'SAME', false],
    ['valid', 1, 'VALID', false],
    [1, 1, 'SAME', false],
    [1, 2, 'VALID', true], // of 6 pixels SAME pads none before and one after
    [2, 1, 'VALID', true],
  ] as const)('%s with stride %i is %s', (pad, strides, expected, isPaddedByHand) => {
    const nodes = lowered(convolution(pad, strides), 1, 6, 6, 1);
    expect(padding(nodes)).toEqual({ text: expected });
    expect(kindsOf(nodes).includes('Pad')).toBe(isPaddedByHand);
  });
});

describe('groups of a convolution', () => {
  const count = (nodes: readonly TensorflowNode[], kind: string) => kindsOf(nodes).filter((k) => k === kind).length;
  const grouped = (groups: number, outputs: number, strides: number | [number, number]) => (x: tf.Tensor) =>
    groupedConv2d(x, tf.ones([3, 3, 4 / groups, outputs]), { groups, strides });

  test.each([
    ['of one channel that make one are TensorFlow’s own operation', grouped(4, 4, 2), 1, 0],
    ['which wants equal strides', grouped(4, 4, [1, 2]), 0, 4],
    ['of several channels are taken one by one', grouped(2, 6, 1), 0, 2],
  ] as const)('%s', (_, f, depthwise, plain) => {
    const nodes = lowered(f, 1, 6, 6, 4);
    expect(count(nodes, 'DepthwiseConv2dNative')).toBe(depthwise);
    expect(count(nodes, 'Conv2D')).toBe(plain);
  });
});

test('a node is encoded as NodeDef: name, operation, inputs, attributes', () => {
  const node = { name: 'y', operation: 'Neg', inputs: ['x'], attributes: { T: { type: 'float32' } } } as const;
  const fields: string[] = [];
  /** `path=value` of everything in a message; strings where the bytes are printable. */
  const walk = (bytes: Uint8Array, path: string): void => {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      const here = `${path}.${field}`;
      if (type === 0) fields.push(`${here}=${reader.int64()}`);
      else {
        const content = reader.bytes();
        if (STRINGS.has(here)) fields.push(`${here}=${Buffer.from(content)}`);
        else walk(content, here);
      }
    }
  };
  // field numbers: saved_model.proto, meta_graph.proto, graph.proto, node_def.proto, attr_value.proto
  const STRINGS = new Set(['.2.1.4', '.2.2.1.1', '.2.2.1.2', '.2.2.1.3', '.2.2.1.5.1']);
  walk(encodeSavedModel([node]), '');
  expect(fields).toEqual([
    '.1=1',
    '.2.1.4=serve',
    '.2.2.1.1=y',
    '.2.2.1.2=Neg',
    '.2.2.1.3=x',
    '.2.2.1.5.1=T',
    '.2.2.1.5.2.6=1',
    '.2.2.4.1=1286',
    '.2.2.4.2=12',
  ]);
});
