import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { DType } from '../ndarray.ts';
import { DOMAIN, ELEMENT_TYPE, type OnnxAttribute, type OnnxNode } from './graph.ts';

const IR_VERSION = 9;
const OPSETS = [
  { domain: DOMAIN.standard, version: 20 },
  { domain: DOMAIN.microsoft, version: 1 },
  { domain: DOMAIN.blocked, version: 1 },
];
/** AttributeProto.AttributeType */
const ATTRIBUTE_TYPE = { float: 1, integer: 2, string: 3, graph: 5, integers: 7 };

export interface NamedValue {
  readonly name: string;
  readonly node: OnnxNode;
  readonly dtype: DType;
  /** The shape is left to ONNX Runtime. */
  readonly hasUnknownShape?: boolean;
}

export interface EncodeOptions {
  /** Inputs and outputs have the dimension `name` wherever their shape has this number. */
  readonly free?: { readonly dimension: number; readonly name: string };
}

/** The nodes, which must be in order, and what goes in and out. Constants become initializers. */
export interface GraphContent {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly NamedValue[];
  readonly outputs: readonly NamedValue[];
}

/** An ONNX model (onnx.proto, ModelProto). */
export function encodeModel(content: GraphContent, { free }: EncodeOptions = {}): Uint8Array {
  return modelOf(content.nodes, (writer) => encodeGraph(writer, content, free));
}

/** What a model does with an input or output of the graph that it repeats. */
export interface ScanValue {
  readonly value: NamedValue;
  /** Its name outside the repeated graph. */
  readonly name: string;
}

export interface ScanContent {
  readonly nodes: readonly OnnxNode[];
  /** What every step gives to the next: inputs, and the outputs that take their places. */
  readonly carried: readonly { readonly input: ScanValue; readonly output: ScanValue }[];
  /** Inputs of which every step has its own, stacked along a new first axis. */
  readonly each: readonly ScanValue[];
  /** Inputs that are the same for all steps. */
  readonly fixed: readonly NamedValue[];
  /** Outputs of which every step makes its own; they come out stacked. */
  readonly made: readonly ScanValue[];
}

/** A model that runs a graph step by step (ONNX, operator Scan): as many steps as the stacked inputs have, one or more. */
export function encodeScan({ nodes, carried, each, fixed, made }: ScanContent): Uint8Array {
  const values = (list: readonly ScanValue[]) => list.map(({ value }) => value);
  const names = (list: readonly ScanValue[]) => list.map(({ name }) => name);
  const state = { inputs: carried.map(({ input }) => input), outputs: carried.map(({ output }) => output) };
  const body = {
    nodes,
    inputs: values([...state.inputs, ...each]),
    outputs: values([...state.outputs, ...made]),
  };
  const stacked = ({ node }: NamedValue) => [STEPS, ...node.shape];
  return modelOf(nodes, (writer) => {
    message(writer, 1, (w) => {
      for (const name of names([...state.inputs, ...each])) text(w, 1, name);
      for (const name of names([...state.outputs, ...made])) text(w, 2, name);
      text(w, 4, 'Scan');
      message(w, 5, (attribute) => {
        text(attribute, 1, 'body');
        message(attribute, 6, (graph) => encodeGraph(graph, body));
        integer(attribute, 20, ATTRIBUTE_TYPE.graph);
      });
      message(w, 5, (attribute) => encodeAttribute(attribute, 'num_scan_inputs', each.length));
    });
    text(writer, 2, 'jsigr');
    const declare = (field: number, list: readonly ScanValue[], shape?: typeof stacked) => {
      for (const { name, value } of list)
        message(writer, field, (w) => encodeValueInfo(w, { ...value, name }, (shape ?? shapeOf)(value)));
    };
    declare(11, state.inputs);
    declare(11, each, stacked);
    for (const value of fixed) message(writer, 11, (w) => encodeValueInfo(w, value, shapeOf(value)));
    declare(12, state.outputs);
    declare(12, made, stacked);
  });
}

/** The name of the number of steps. */
const STEPS = 'steps';

function modelOf(nodes: readonly OnnxNode[], graph: (writer: BinaryWriter) => void): Uint8Array {
  const model = new BinaryWriter();
  integer(model, 1, IR_VERSION);
  message(model, 7, graph);
  const domains = new Set(['', ...nodes.filter(isComputed).map(({ domain }) => domain)]);
  for (const { domain, version } of OPSETS.filter((opset) => domains.has(opset.domain)))
    message(model, 8, (writer) => {
      text(writer, 1, domain);
      integer(writer, 2, version);
    });
  return model.finish();
}

function encodeGraph(
  writer: BinaryWriter,
  { nodes, inputs, outputs }: GraphContent,
  free?: EncodeOptions['free'],
): void {
  // a computed value that is an output bears its name; an input, a constant or a second output of one value is a copy
  const outputNames = new Map<OnnxNode, string>();
  for (const { name, node } of outputs) if (isComputed(node) && !outputNames.has(node)) outputNames.set(node, name);
  const copies = outputs.filter(({ name, node }) => outputNames.get(node) !== name);
  const nameOf = (node: OnnxNode) => outputNames.get(node) ?? node.name ?? `t${node.id}`;
  const shape = (value: NamedValue) =>
    shapeOf(value).map((dimension) => (dimension === free?.dimension ? free.name : dimension));
  for (const node of nodes)
    if (isComputed(node))
      message(writer, 1, (w) => encodeNode(w, node, node.inputs.map(nameOf), nameOf(node), nodeName(node)));
  for (const { name, node } of copies)
    message(writer, 1, (w) =>
      encodeNode(w, { operator: 'Identity', domain: '', attributes: {} }, [nameOf(node)], name, `Identity_${name}`),
    );
  text(writer, 2, 'jsigr');
  for (const node of nodes)
    if (node.operator === 'Constant') message(writer, 5, (w) => encodeTensor(w, node, nameOf(node)));
  for (const input of inputs) message(writer, 11, (w) => encodeValueInfo(w, input, shape(input)));
  for (const output of outputs) message(writer, 12, (w) => encodeValueInfo(w, output, shape(output)));
}

function shapeOf({ node }: NamedValue): readonly (number | string)[] {
  return node.shape;
}

/** The name of an operator in the model: in profiles and in the runtime's messages. */
export function nodeName({ operator, id }: OnnxNode): string {
  return `${operator}_${id}`;
}

function isComputed({ operator }: OnnxNode): boolean {
  return operator !== 'Constant' && operator !== 'Input';
}

type NodeContent = Pick<OnnxNode, 'operator' | 'domain' | 'attributes' | 'slot'>;

function encodeNode(
  writer: BinaryWriter,
  node: NodeContent,
  inputs: readonly string[],
  output: string,
  name: string,
): void {
  for (const input of inputs) text(writer, 1, input);
  for (let slot = 0; slot < (node.slot ?? 0); slot++) text(writer, 2, `${output}_before${slot}`); // needed by nobody
  text(writer, 2, output);
  text(writer, 3, name);
  text(writer, 4, node.operator);
  for (const [key, value] of Object.entries(node.attributes)) message(writer, 5, (w) => encodeAttribute(w, key, value));
  text(writer, 7, node.domain);
}

function encodeAttribute(writer: BinaryWriter, name: string, value: OnnxAttribute): void {
  text(writer, 1, name);
  if (typeof value === 'number') {
    if (!Number.isInteger(value))
      throw new TypeError(`attribute ${name} = ${value} is not an integer: write { float: ${value} }`);
    integer(writer, 3, value);
    integer(writer, 20, ATTRIBUTE_TYPE.integer);
  } else if (typeof value === 'string') {
    text(writer, 4, value);
    integer(writer, 20, ATTRIBUTE_TYPE.string);
  } else if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float);
    integer(writer, 20, ATTRIBUTE_TYPE.float);
  } else {
    for (const item of value) integer(writer, 8, item);
    integer(writer, 20, ATTRIBUTE_TYPE.integers);
  }
}

function encodeTensor(writer: BinaryWriter, node: OnnxNode, name: string): void {
  for (const dimension of node.shape) integer(writer, 1, dimension);
  integer(writer, 2, ELEMENT_TYPE[node.dtype ?? 'float32']);
  text(writer, 8, name);
  writer.tag(9, WireType.LengthDelimited).bytes(node.raw ?? new Uint8Array());
}

/** Dimensions that are words are open. */
function encodeValueInfo(
  writer: BinaryWriter,
  { name, dtype, hasUnknownShape = false }: NamedValue,
  dimensions: readonly (number | string)[],
): void {
  text(writer, 1, name);
  message(writer, 2, (type) =>
    message(type, 1, (tensor) => {
      integer(tensor, 1, ELEMENT_TYPE[dtype]);
      if (hasUnknownShape) return;
      message(tensor, 2, (shape) => {
        for (const dimension of dimensions)
          message(shape, 1, (d) => (typeof dimension === 'string' ? text(d, 2, dimension) : integer(d, 1, dimension)));
      });
    }),
  );
}

function message(writer: BinaryWriter, field: number, write: (writer: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function integer(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}
