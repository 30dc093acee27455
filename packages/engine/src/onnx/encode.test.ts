import { expect, test } from 'vitest';
import { encodeModel } from './encode.ts';
import { OnnxGraph } from './graph.ts';

test('a model is the bytes that onnx.proto prescribes', () => {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', [2], 'float32');
  const y = graph.node('Elu', [x], [2], { attributes: { alpha: { float: 0.5 } } });
  const model = encodeModel({
    nodes: [x, y],
    inputs: [{ name: 'x', node: x, dtype: 'float32' }],
    outputs: [
      { name: 'y', node: y, dtype: 'float32' },
      { name: 'z', node: y, dtype: 'float32' },
    ],
  });
  // worked out by hand: field numbers and wire types of onnx.proto, one message a line
  const valueInfo = (field: string, name: string) => `${field} 0f 0a 01 ${name} 12 0a 0a 08 08 01 12 04 0a 02 08 02`;
  const expected = [
    '08 09', // ir_version: 9
    '3a 81 01', // graph, 129 bytes
    '0a 25 0a 01 78 12 01 79 1a 05 45 6c 75 5f 31 22 03 45 6c 75', // node: input x, output y, name Elu_1, op_type Elu
    '2a 0f 0a 05 61 6c 70 68 61 15 00 00 00 3f a0 01 01', // attribute: alpha, f: 0.5, type: FLOAT
    '3a 00', // domain: ''
    '0a 1e 0a 01 79 12 01 7a 1a 0a 49 64 65 6e 74 69 74 79 5f 7a 22 08 49 64 65 6e 74 69 74 79 3a 00', // Identity: z = y
    '12 05 6a 73 69 67 72', // name: jsigr
    valueInfo('5a', '78'), // input
    valueInfo('62', '79'), // outputs
    valueInfo('62', '7a'),
    '42 04 0a 00 10 14', // opset '' 20
  ].join(' ');
  expect(Buffer.from(model).toString('hex').match(/../g)?.join(' ')).toBe(expected);
});

test('a fraction as an integer attribute is a mistake', () => {
  const graph = new OnnxGraph(1);
  const x = graph.input('x', [2], 'float32');
  const y = graph.node('Elu', [x], [2], { attributes: { alpha: 0.5 } });
  expect(() => encodeModel({ nodes: [x, y], inputs: [], outputs: [] })).toThrow(
    'attribute alpha = 0.5 is not an integer: write { float: 0.5 }',
  );
});
