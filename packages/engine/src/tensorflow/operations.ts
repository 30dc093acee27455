import type { Attributes as GraphAttributes, Node } from '../graph.ts';
import { sizeOf } from '../ndarray.ts';
import { isBroadcast, single } from '../operations/rules.ts';
import { convolve, convolveFilterGradient, convolveInputGradient } from './convolution.ts';
import type { Attribute, Attributes, TensorflowGraph } from './graph.ts';
import { elementwise, type Operand, plain, spread } from './operand.ts';

/** How one operation of the engine is written in TensorFlow's: the name of its value, or an operand that is spread out later. */
export type Row = (graph: TensorflowGraph, inputs: readonly Operand[], node: Node) => string | Operand;

/** What to look at when a row is missing. */
export const TENSORFLOW_TABLE = 'packages/engine/src/tensorflow/operations.ts';

/** One operation, element by element, whose type attribute `T` is that of its operands. */
const pointwise =
  (operation: string): Row =>
  (graph, inputs) =>
    elementwise(graph, operation, inputs, { T: { type: single(inputs).dtype } });

/** The same for operations that only know booleans. */
const logical =
  (operation: string): Row =>
  (graph, inputs) =>
    elementwise(graph, operation, inputs, {});

/** One operation on values of full shape, with attributes taken from the node. */
function direct(operation: string, attributes: (node: Node) => Record<string, Attribute> = () => ({})): Row {
  return (graph, inputs, node) =>
    graph.node(
      operation,
      inputs.map((input) => input.full()),
      { T: { type: single(inputs).dtype }, ...attributes(node) },
    );
}

const numbers = (attributes: GraphAttributes, name: string) => attributes[name] as readonly number[];
const INT32: Attribute = { type: 'int32' };

function reduction(operation: string): Row {
  return (graph, inputs, { attributes }) => {
    const x = single(inputs);
    const axes = graph.integers(numbers(attributes, attributes.reductionIndices ? 'reductionIndices' : 'axis'));
    return graph.node(operation, [x.full(), axes], {
      T: { type: x.dtype },
      Tidx: INT32,
      keep_dims: { bool: attributes.keepDims === true },
    });
  };
}

function argument(operation: 'ArgMax' | 'ArgMin'): Row {
  return (graph, inputs, { attributes }) => {
    const x = single(inputs);
    return graph.node(operation, [x.full(), graph.scalar(attributes.axis as number, 'int32')], {
      T: { type: x.dtype },
      Tidx: INT32,
      output_type: INT32,
    });
  };
}

function pooling(operation: 'MaxPool' | 'AvgPool'): Row {
  return direct(operation, ({ attributes }) => ({
    ksize: { integers: [1, ...numbers(attributes, 'filterSize'), 1] },
    strides: { integers: [1, ...numbers(attributes, 'strides'), 1] },
    padding: { text: 'VALID' },
    data_format: { text: 'NHWC' },
  }));
}

function multiplyMatrices(graph: TensorflowGraph, inputs: readonly Operand[], node: Node): string {
  const { shape, dtype, attributes } = node;
  const [transposeA, transposeB] = [{ bool: attributes.transposeA === true }, { bool: attributes.transposeB === true }];
  const type: Attributes = { T: { type: dtype } };
  if (sizeOf(shape.slice(0, -2)) > 1) {
    const operands = inputs.map((input) => input.full());
    return graph.node('BatchMatMulV2', operands, { ...type, adj_x: transposeA, adj_y: transposeB });
  }
  const matrices = inputs.map((input) =>
    input.shape.length === 2 ? input.full() : graph.reshape(input.full(), input.shape.slice(-2), dtype),
  );
  const product = graph.node('MatMul', matrices, { ...type, transpose_a: transposeA, transpose_b: transposeB });
  return shape.length === 2 ? product : graph.reshape(product, shape, dtype);
}

/** The rows of the operations that `packages/engine/src/operations` records, by their TensorFlow.js kernel name. */
export const tensorflowOperations: Readonly<Record<string, Row>> = {
  Abs: pointwise('Abs'),
  Add: pointwise('AddV2'),
  ArgMax: argument('ArgMax'),
  ArgMin: argument('ArgMin'),
  Atan: pointwise('Atan'),
  AvgPool: pooling('AvgPool'),
  BatchMatMul: multiplyMatrices,
  Cast: (graph, inputs, { dtype }) =>
    elementwise(graph, 'Cast', inputs, { SrcT: { type: single(inputs).dtype }, DstT: { type: dtype } }),
  Ceil: pointwise('Ceil'),
  ClipByValue(graph, inputs, { attributes, dtype }) {
    const bounds = [attributes.clipValueMin, attributes.clipValueMax];
    const names = bounds.map((bound) => graph.scalar(bound as number, dtype));
    return graph.node('ClipByValue', [single(inputs).full(), ...names], { T: { type: dtype } });
  },
  Concat: (graph, inputs, { attributes, dtype }) =>
    graph.node('ConcatV2', [...inputs.map((input) => input.full()), graph.scalar(attributes.axis as number, 'int32')], {
      N: { integer: inputs.length },
      T: { type: dtype },
      Tidx: INT32,
    }),
  Conv2D: convolve,
  Conv2DBackpropFilter: convolveFilterGradient,
  Conv2DBackpropInput: convolveInputGradient,
  Cos: pointwise('Cos'),
  Cumsum: (graph, inputs, { attributes, dtype }) =>
    graph.node('Cumsum', [single(inputs).full(), graph.scalar(attributes.axis as number, 'int32')], {
      T: { type: dtype },
      Tidx: INT32,
      exclusive: { bool: attributes.exclusive === true },
      reverse: { bool: attributes.reverse === true },
    }),
  Equal: pointwise('Equal'),
  Erf: pointwise('Erf'),
  Exp: pointwise('Exp'),
  Fill(graph, _, { shape, dtype, attributes }) {
    const value = graph.scalar(attributes.value as number, dtype);
    return spread(shape, dtype, plain(value, [], dtype), () =>
      graph.node('Fill', [graph.integers(shape), value], { T: { type: dtype }, index_type: INT32 }),
    );
  },
  Floor: pointwise('Floor'),
  GatherV2(graph, inputs, { attributes }) {
    const [x, indices] = inputs;
    const axis = graph.scalar(attributes.axis as number, 'int32');
    return graph.node('GatherV2', [x?.full() ?? '', indices?.full() ?? '', axis], {
      Tparams: { type: single(inputs).dtype },
      Tindices: INT32,
      Taxis: INT32,
      batch_dims: { integer: 0 },
    });
  },
  Greater: pointwise('Greater'),
  GreaterEqual: pointwise('GreaterEqual'),
  Identity: (_, inputs) => single(inputs),
  Less: pointwise('Less'),
  LessEqual: pointwise('LessEqual'),
  Log: pointwise('Log'),
  LogicalAnd: logical('LogicalAnd'),
  LogicalNot: logical('LogicalNot'),
  LogicalOr: logical('LogicalOr'),
  LogSoftmax: direct('LogSoftmax'),
  Max: reduction('Max'),
  MaxPool: pooling('MaxPool'),
  Maximum: pointwise('Maximum'),
  Mean: reduction('Mean'),
  Min: reduction('Min'),
  Minimum: pointwise('Minimum'),
  Multiply: pointwise('Mul'),
  Neg: pointwise('Neg'),
  PadV2(graph, inputs, { attributes, dtype }) {
    const paddings = attributes.paddings as readonly (readonly number[])[];
    const widths = graph.constant(paddings.flat(), [paddings.length, 2], 'int32');
    const value = graph.scalar(attributes.constantValue as number, dtype);
    return graph.node('PadV2', [single(inputs).full(), widths, value], { T: { type: dtype }, Tpaddings: INT32 });
  },
  Pow: pointwise('Pow'),
  RealDiv: pointwise('RealDiv'),
  Reciprocal: pointwise('Reciprocal'),
  Relu: pointwise('Relu'),
  Reshape(graph, inputs, { shape, dtype }) {
    return graph.reshape(single(inputs).full(), shape, dtype);
  },
  // the graph only has it with whole factors; counted from the middle of the pixels no place falls on an edge
  ResizeNearestNeighbor: (graph, inputs, { attributes, dtype }) =>
    graph.node('ResizeNearestNeighbor', [single(inputs).full(), graph.integers(numbers(attributes, 'size'))], {
      T: { type: dtype },
      align_corners: { bool: false },
      half_pixel_centers: { bool: true },
    }),
  Reverse: (graph, inputs, { attributes, dtype }) =>
    graph.node('ReverseV2', [single(inputs).full(), graph.integers(numbers(attributes, 'dims'))], {
      T: { type: dtype },
      Tidx: INT32,
    }),
  Round: pointwise('Round'),
  Rsqrt: pointwise('Rsqrt'),
  ScatterNd(graph, inputs, { shape, dtype }) {
    const operands = [...inputs.map((input) => input.full()), graph.integers(shape)];
    return graph.node('ScatterNd', operands, { T: { type: dtype }, Tindices: INT32 });
  },
  Select: (graph, inputs, { dtype }) => elementwise(graph, 'SelectV2', inputs, { T: { type: dtype } }),
  Sigmoid: pointwise('Sigmoid'),
  Sign: pointwise('Sign'),
  Sin: pointwise('Sin'),
  Slice(graph, inputs, { attributes, dtype }) {
    const [begin, size] = [numbers(attributes, 'begin'), numbers(attributes, 'size')];
    return graph.node('Slice', [single(inputs).full(), graph.integers(begin), graph.integers(size)], {
      T: { type: dtype },
      Index: INT32,
    });
  },
  Softmax: direct('Softmax'),
  Softplus: pointwise('Softplus'),
  Sqrt: pointwise('Sqrt'),
  Square: pointwise('Square'),
  Step(graph, inputs, { dtype, attributes }) {
    const type: Attributes = { T: { type: dtype } };
    const isPositive = graph.node('Greater', [single(inputs).full(), graph.scalar(0, dtype)], type);
    const mask = graph.node('Cast', [isPositive], { SrcT: { type: 'bool' }, DstT: { type: dtype } });
    const alpha = attributes.alpha as number;
    if (alpha === 0) return mask;
    const scaled = graph.node('Mul', [mask, graph.scalar(1 - alpha, dtype)], type);
    return graph.node('AddV2', [scaled, graph.scalar(alpha, dtype)], type);
  },
  Sub: pointwise('Sub'),
  Sum: reduction('Sum'),
  Tanh: pointwise('Tanh'),
  Tile(graph, inputs, { shape, dtype, attributes }) {
    const x = single(inputs);
    const reps = numbers(attributes, 'reps');
    const tile = () => graph.node('Tile', [x.full(), graph.integers(reps)], { T: { type: dtype }, Tmultiples: INT32 });
    return isBroadcast(x.shape, reps) ? spread(shape, dtype, x, tile) : tile();
  },
  TopKIndices(graph, inputs, { attributes }) {
    const x = single(inputs);
    const top = graph.node('TopKV2', [x.full(), graph.scalar(attributes.k as number, 'int32')], {
      T: { type: x.dtype },
      sorted: { bool: true },
    });
    return `${top}:1`; // its second output
  },
  Transpose: (graph, inputs, { attributes, dtype }) =>
    graph.node('Transpose', [single(inputs).full(), graph.integers(numbers(attributes, 'perm'))], {
      T: { type: dtype },
      Tperm: INT32,
    }),
};
