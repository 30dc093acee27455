import { bytes, float, integer, malformed, numbers, type ReadField, readMessage, text, textOf } from './wire.ts';

// The parts of onnx.proto that an importer needs. Field numbers are those of the schema, which never change.

export interface OnnxModel {
  readonly irVersion: number;
  readonly producer: string;
  /** Version of each operator set by domain; '' is standard ONNX. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: OnnxSubgraph;
  /** Functions that the file defines, by `domain:name`. */
  readonly functions: ReadonlyMap<string, OnnxFunction>;
}

export interface OnnxSubgraph {
  readonly nodes: readonly FileNode[];
  readonly initializers: readonly FileTensor[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

export interface OnnxFunction {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly FileNode[];
  /** Values of attributes that a call leaves out. */
  readonly defaults: ReadonlyMap<string, FileAttribute>;
  readonly opsets: ReadonlyMap<string, number>;
}

export interface FileNode {
  readonly name: string;
  readonly operator: string;
  /** '' is standard ONNX. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, FileAttribute>;
}

export interface FileAttribute {
  readonly name: string;
  readonly float: number;
  readonly integer: number;
  readonly text: string;
  readonly floats: readonly number[];
  readonly integers: readonly number[];
  readonly texts: readonly string[];
  readonly tensor?: FileTensor;
  readonly graph?: OnnxSubgraph;
  /** Name of the attribute of the enclosing function that is meant. */
  readonly reference: string;
}

/** A tensor as it stands in the file; `readTensor` reads its numbers. */
export interface FileTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** TensorProto.DataType */
  readonly elementType: number;
  readonly raw?: Uint8Array;
  /** Numbers that were written one by one. */
  readonly numbers: readonly number[];
  /** Where the numbers lie outside the file: `location`, `offset`, `length`. */
  readonly external: ReadonlyMap<string, string>;
}

export interface ValueInfo {
  readonly name: string;
  /** TensorProto.DataType; 0 if the value is not a tensor. */
  readonly elementType: number;
  /** A number, or the name of a dimension that is left open ('' if it has none); `undefined`: the file does not say. */
  readonly shape: readonly (number | string)[] | undefined;
}

const MAX_NODES = 100_000;
const MAX_RANK = 32;

/** Reads a ModelProto. @throws EngineError MALFORMED_FILE, naming the part that is wrong */
export function decodeModel(file: Uint8Array): OnnxModel {
  let irVersion = 0;
  let producer = '';
  let producerVersion = '';
  let graph: OnnxSubgraph | undefined;
  const opsets = new Map<string, number>();
  const functions = new Map<string, OnnxFunction>();
  readMessage(file, 'model', {
    1: integer((value) => (irVersion = value)),
    2: text((value) => (producer = value)),
    3: text((value) => (producerVersion = value)),
    7: bytes((value) => (graph = decodeGraph(value))),
    8: bytes((value) => decodeOpset(value, opsets)),
    25: bytes((value) => {
      const definition = decodeFunction(value);
      functions.set(`${definition.domain}:${definition.name}`, definition);
    }),
  });
  if (!graph) throw malformed('it holds no graph');
  if (irVersion < 3) throw malformed(`its IR version is ${irVersion}; 3 or later is needed`);
  if (opsets.size === 0) throw malformed('it does not say which version of the operators it uses');
  return { irVersion, producer: `${producer} ${producerVersion}`.trim(), opsets, graph, functions };
}

function decodeGraph(file: Uint8Array): OnnxSubgraph {
  const nodes: FileNode[] = [];
  const initializers: FileTensor[] = [];
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  readMessage(file, 'graph', {
    1: nodeList(nodes),
    5: bytes((value) => initializers.push(decodeTensor(value))),
    11: bytes((value) => inputs.push(decodeValueInfo(value))),
    12: bytes((value) => outputs.push(decodeValueInfo(value))),
    15: () => {
      throw malformed('sparse initializers are not supported: export the model with dense weights');
    },
  });
  return { nodes, initializers, inputs, outputs };
}

function decodeFunction(file: Uint8Array): OnnxFunction {
  let name = '';
  let domain = '';
  const inputs: string[] = [];
  const outputs: string[] = [];
  const nodes: FileNode[] = [];
  const defaults = new Map<string, FileAttribute>();
  const opsets = new Map<string, number>();
  readMessage(file, 'function', {
    1: text((value) => (name = value)),
    4: text((value) => inputs.push(value)),
    5: text((value) => outputs.push(value)),
    7: nodeList(nodes),
    9: bytes((value) => decodeOpset(value, opsets)),
    10: text((value) => (domain = value)),
    11: attributeInto(defaults),
  });
  return { name, domain: standardName(domain), inputs, outputs, nodes, defaults, opsets };
}

function nodeList(nodes: FileNode[]): ReadField {
  return bytes((value) => {
    if (nodes.length >= MAX_NODES) throw malformed(`a graph has more than ${MAX_NODES} nodes`);
    nodes.push(decodeNode(value));
  });
}

function decodeNode(file: Uint8Array): FileNode {
  const names = { name: '', operator: '', domain: '' };
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, FileAttribute>();
  readMessage(file, 'node', {
    1: text((value) => inputs.push(value)),
    2: text((value) => outputs.push(value)),
    3: text((value) => (names.name = value)),
    4: text((value) => (names.operator = value)),
    5: attributeInto(attributes),
    7: text((value) => (names.domain = standardName(value))),
  });
  return { ...names, inputs, outputs, attributes };
}

function attributeInto(attributes: Map<string, FileAttribute>): ReadField {
  return bytes((value) => {
    const attribute = decodeAttribute(value);
    attributes.set(attribute.name, attribute);
  });
}

function decodeAttribute(file: Uint8Array): FileAttribute {
  const single = { name: '', float: 0, integer: 0, text: '', reference: '' };
  const floats: number[] = [];
  const integers: number[] = [];
  const texts: string[] = [];
  let tensor: FileTensor | undefined;
  let graph: OnnxSubgraph | undefined;
  readMessage(file, 'attribute', {
    1: text((value) => (single.name = value)),
    2: float((value) => (single.float = value)),
    3: integer((value) => (single.integer = value)),
    4: bytes((value) => (single.text = textOf(value))),
    5: bytes((value) => (tensor = decodeTensor(value))),
    6: bytes((value) => (graph = decodeGraph(value))),
    7: numbers('float', (value) => floats.push(value)),
    8: numbers('int64', (value) => integers.push(value)),
    9: bytes((value) => texts.push(textOf(value))),
    21: text((value) => (single.reference = value)),
  });
  return { ...single, floats, integers, texts, ...(tensor && { tensor }), ...(graph && { graph }) };
}

export function decodeTensor(file: Uint8Array): FileTensor {
  const shape: number[] = [];
  const list: number[] = [];
  const external = new Map<string, string>();
  let [name, elementType] = ['', 0];
  let raw: Uint8Array | undefined;
  readMessage(file, 'tensor', {
    1: numbers('int64', (value) => shape.push(value)),
    2: integer((value) => (elementType = value)),
    4: numbers('float', (value) => list.push(value)),
    5: numbers('int64', (value) => list.push(value)),
    7: numbers('int64', (value) => list.push(value)),
    8: text((value) => (name = value)),
    9: bytes((value) => (raw = value)),
    10: numbers('double', (value) => list.push(value)),
    13: bytes((value) => decodeEntry(value, external)),
  });
  if (shape.length > MAX_RANK || shape.some((dimension) => !Number.isSafeInteger(dimension) || dimension < 0))
    throw malformed(`the tensor '${name}' has the shape [${shape.slice(0, MAX_RANK)}]`);
  return { name, elementType, shape, numbers: list, external, ...(raw && { raw }) };
}

function decodeEntry(file: Uint8Array, entries: Map<string, string>): void {
  let [key, content] = ['', ''];
  readMessage(file, 'entry', { 1: text((value) => (key = value)), 2: text((value) => (content = value)) });
  entries.set(key, content);
}

function decodeOpset(file: Uint8Array, opsets: Map<string, number>): void {
  let [domain, version] = ['', 0];
  readMessage(file, 'operator set', { 1: text((value) => (domain = value)), 2: integer((value) => (version = value)) });
  opsets.set(standardName(domain), version);
}

function decodeValueInfo(file: Uint8Array): ValueInfo {
  let [name, elementType] = ['', 0];
  let shape: (number | string)[] | undefined;
  const tensorType = (value: Uint8Array) =>
    readMessage(value, 'tensor type', {
      1: integer((type) => (elementType = type)),
      2: bytes((dimensions) => (shape = decodeShape(dimensions))),
    });
  readMessage(file, 'value', {
    1: text((value) => (name = value)),
    2: bytes((type) => readMessage(type, 'type', { 1: bytes(tensorType) })),
  });
  return { name, elementType, shape };
}

function decodeShape(file: Uint8Array): (number | string)[] {
  const shape: (number | string)[] = [];
  readMessage(file, 'shape', {
    1: bytes((value) => {
      let dimension: number | string = '';
      readMessage(value, 'dimension', {
        1: integer((size) => (dimension = size)),
        2: text((size) => (dimension = size)),
      });
      shape.push(typeof dimension === 'number' && dimension < 1 ? '' : dimension);
    }),
  });
  if (shape.length > MAX_RANK) throw malformed(`a value has ${shape.length} dimensions`);
  return shape;
}

/** The standard domain has two names. */
function standardName(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}
