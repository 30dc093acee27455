import type * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import type { ImportedInput, ImportedModel, Tensors } from '../imported.ts';
import { float32, type NdArray } from '../ndarray.ts';
import { describeNode } from './call.ts';
import {
  decodeModel,
  type FileNode,
  type FileTensor,
  type OnnxModel,
  type OnnxSubgraph,
  type ValueInfo,
} from './decode.ts';
import { type Evaluation, evaluateNodes, loadFolding, unknownOperator } from './evaluate.ts';
import { findOperator } from './operators/table.ts';
import { dtypeOf, type Numbers, type ReadExternal, readTensor } from './tensor.ts';
import { knownValue, plainOf, plainValue, type Value } from './value.ts';
import { malformed } from './wire.ts';

export interface OnnxImportOptions {
  /** Which outputs are wanted; by default all that are floating-point tensors, the first of which is a classifier's scores. */
  readonly outputs?: readonly string[];
  /** Reads a file of weights that lies beside the model; without it such models are refused. */
  readonly readExternal?: ReadExternal;
}

/** An ONNX model as a differentiable function. Weights that are lists or larger are its parameters. */
export interface ImportedOnnx extends ImportedModel {
  /** Who wrote the file, e.g. `pytorch 2.9.0`. */
  readonly producer: string;
  readonly irVersion: number;
  /** Version of the standard operator set. */
  readonly opset: number;
  /** Outputs of the file that are floating-point tensors: those that other runtimes give too. */
  readonly tensorOutputs: readonly string[];
  /** Parameters that are running means and variances of batch normalisation: they are measured, no gradient should move them. */
  readonly statistics: readonly string[];
  /** Names of the operators that the outputs need. */
  readonly operators: readonly string[];
  /** The value whose softmax, or sigmoid, the first output is, if the model ends in one: its logits. */
  readonly softmaxInput?: string;
  readonly sigmoidInput?: string;
  /** Whether the first output is a sum of products, which may be any number: a score, and no probability. */
  readonly isAffine: boolean;
}

/**
 * Reads an ONNX file (IR version 3 and later; operator sets 7 to 22 are known, 11 to 20 are tested) as a differentiable function of
 * its inputs and its weights. See `onnxOperators` for what it knows. The batch may differ from the
 * file's, though a file that was exported for a fixed one may refuse it.
 * @throws EngineError MALFORMED_FILE if the bytes are not such a file; UNSUPPORTED_OPERATION naming the first operator that is not known
 */
export async function importOnnx(bytes: Uint8Array, options: OnnxImportOptions = {}): Promise<ImportedOnnx> {
  await loadFolding();
  const model = decodeModel(bytes);
  checkOrder(model.graph);
  const { outputs = floatOutputs(model.graph), readExternal } = options;
  const produced = new Set([
    ...model.graph.nodes.flatMap((node) => node.outputs),
    ...model.graph.inputs.map(({ name }) => name),
  ]);
  for (const output of outputs)
    if (!produced.has(output))
      throw new EngineError(
        'INVALID_INPUT',
        `the model has no value '${output}'; its outputs are ${model.graph.outputs.map(({ name }) => name).join(', ')}`,
      );
  const { nodes, computed } = neededNodes(model, outputs);
  checkOperators(nodes, model);
  const { constants, parameters } = tensorsOf(model.graph, nodes, computed, readExternal);
  const initialized = new Set([...constants.keys(), ...Object.keys(parameters)]);
  const inputs = model.graph.inputs.filter(({ name }) => !initialized.has(name) && computed.has(name)).map(inputOf);
  const written = nodes.filter(({ outputs: names }) => !initialized.has(names[0] ?? ''));
  return {
    ...logitsBefore(outputs[0] ?? '', nodes),
    isAffine: isAffine(outputs[0] ?? '', nodes),
    tensorOutputs: tensorOutputs(model.graph),
    producer: model.producer,
    irVersion: model.irVersion,
    opset: model.opsets.get('') ?? 0,
    inputs,
    outputs,
    operators: [...new Set(nodes.map(({ operator }) => operator))].toSorted(),
    parameters,
    statistics: [...new Set(statisticsIn(nodes, model.functions))].filter((name) => name in parameters),
    forward(given, tensors) {
      const values = new Map<string, Value>(constants);
      const batched = new WeakSet<Value>();
      for (const [name, { data }] of Object.entries(parameters))
        values.set(name, { ...plainValue(tensorNamed(given, name)), known: { ...knownOf(parameters, name), data } });
      for (const { name } of inputs) {
        const value = plainValue(tensorNamed(tensors, name));
        batched.add(value);
        values.set(name, value);
      }
      const state: Evaluation = {
        functions: model.functions,
        readExternal,
        batch: fixedBatch(inputs, tensors, batched),
        batched,
        withheld: new Map(),
        evaluations: 0,
      };
      evaluateNodes(written, values, model.opsets, state);
      return Object.fromEntries(outputs.map((name) => [name, outputOf(values, name)]));
    },
  };
}

/** Operators that give the numbers of their first input in the same order. */
const RESHAPING: readonly string[] = ['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten'];

/** The input of the softmax over classes, or of the sigmoid, that gives a value, perhaps under another name. */
function logitsBefore(name: string, nodes: readonly FileNode[]): Pick<ImportedOnnx, 'softmaxInput' | 'sigmoidInput'> {
  const node = nodes.find(({ outputs }) => outputs[0] === name);
  const [input] = node?.inputs ?? [];
  if (node?.domain !== '' || input === undefined) return {};
  if (node.operator === 'Identity' || isCastToFloat(node)) return logitsBefore(input, nodes);
  if (node.operator === 'Sigmoid') return { sigmoidInput: input };
  if (RESHAPING.includes(node.operator)) {
    // A sigmoid does not care; a softmax is over an axis.
    const { sigmoidInput } = logitsBefore(input, nodes);
    return sigmoidInput === undefined ? {} : { sigmoidInput };
  }
  const axis = node.attributes.get('axis')?.integer ?? -1;
  return node.operator === 'Softmax' && (axis === 1 || axis === -1) ? { softmaxInput: input } : {};
}

/** Half precision and back. */
function isCastToFloat({ operator, attributes }: FileNode): boolean {
  return operator === 'Cast' && dtypeOf(attributes.get('to')?.integer ?? 0) === 'float32';
}

/** Whether a value is a sum of products, perhaps shifted and scaled. */
function isAffine(name: string, nodes: readonly FileNode[], seen = new Set<FileNode>()): boolean {
  const node = nodes.find(({ outputs }) => outputs[0] === name);
  if (node?.domain !== '' || seen.has(node)) return false;
  seen.add(node);
  if (['Conv', 'Gemm', 'MatMul'].includes(node.operator)) return true;
  const isPassing =
    ['Add', 'Div', 'Identity', 'Mul', 'Sub', ...RESHAPING].includes(node.operator) || isCastToFloat(node);
  return isPassing && node.inputs.some((input) => isAffine(input, nodes, seen));
}

function outputOf(values: ReadonlyMap<string, Value>, name: string): tf.Tensor {
  const value = values.get(name);
  if (!value) throw malformed(`its output '${name}' is not computed`);
  return plainOf(value);
}

function knownOf(parameters: Readonly<Record<string, NdArray>>, name: string): Numbers {
  const array = parameters[name];
  if (!array) throw new EngineError('INVALID_INPUT', `the model has no parameter '${name}'`);
  return array;
}

function tensorNamed(tensors: Tensors, name: string): tf.Tensor {
  const tensor = tensors[name];
  if (tensor) return tensor;
  throw new EngineError(
    'INVALID_INPUT',
    `the imported model was not given '${name}'; it got ${Object.keys(tensors).slice(0, 5).join(', ')}`,
  );
}

/** Functions within functions that are looked into at most. */
const MAX_DEPTH = 16;

/** Names of the values that batch normalisations take for their running means and variances, inside of functions too. */
function statisticsIn(nodes: readonly FileNode[], functions: OnnxModel['functions'], depth = 0): string[] {
  return nodes.flatMap(({ domain, operator, inputs }) => {
    const definition = functions.get(`${domain}:${operator}`);
    if (!definition) return operator === 'BatchNormalization' && domain === '' ? inputs.slice(3, 5) : [];
    if (depth > MAX_DEPTH) return [];
    return statisticsIn(definition.nodes, functions, depth + 1).flatMap(
      (name) => inputs[definition.inputs.indexOf(name)] ?? [],
    );
  });
}

/** The batch for which the file was written, if it differs from that of the first input. */
function fixedBatch(inputs: readonly ImportedInput[], tensors: Tensors, batched: WeakSet<Value>): Evaluation['batch'] {
  const declared = inputs[0]?.shape[0];
  const actual = tensors[inputs[0]?.name ?? '']?.shape[0];
  if (typeof declared !== 'number' || actual === undefined || declared === actual) return undefined;
  return { declared, actual, isBatched: (value) => batched.has(value) };
}

function tensorOutputs({ outputs }: OnnxSubgraph): string[] {
  return outputs.filter(({ elementType }) => dtypeOf(elementType) === 'float32').map(({ name }) => name);
}

/** Outputs that have gradients: floating-point tensors, and the scores by label that scikit-learn's converter writes. */
function floatOutputs(graph: OnnxSubgraph): string[] {
  const { outputs, nodes } = graph;
  const scores = new Set(nodes.filter(({ operator }) => operator === 'ZipMap').flatMap((node) => node.outputs));
  const tensors = tensorOutputs(graph);
  const names = outputs.map(({ name }) => name).filter((name) => tensors.includes(name) || scores.has(name));
  if (names.length > 0) return names;
  throw new EngineError(
    'UNSUPPORTED_OPERATION',
    `none of the model's outputs (${outputs.map(({ name }) => name).join(', ') || 'there is none'}) is a floating-point tensor`,
  );
}

function inputOf({ name, elementType, shape }: ValueInfo): ImportedInput {
  const dtype = dtypeOf(elementType);
  if (!dtype)
    throw new EngineError('UNSUPPORTED_OPERATION', `the input '${name}' has the ONNX element type ${elementType}`);
  if (!shape)
    throw new EngineError('UNSUPPORTED_OPERATION', `the file does not say which shape the input '${name}' has`);
  return { name, dtype, shape };
}

/** What a node takes is computed before it, as ONNX demands. @throws EngineError MALFORMED_FILE naming both nodes, of a circle too */
function checkOrder({ nodes }: OnnxSubgraph): void {
  const order = new Map(nodes.flatMap((node, i) => node.outputs.map((name) => [name, i] as const)));
  for (const [i, node] of nodes.entries())
    for (const name of node.inputs) {
      const maker = nodes[order.get(name) ?? -1];
      if (maker && name !== '' && (order.get(name) ?? 0) >= i)
        throw malformed(`${describeNode(node)} takes '${name}', which is computed later, by ${describeNode(maker)}`);
    }
}

/**
 * The nodes that the outputs need, and the names of the values that are computed with. The others are only read while tracing: shapes, axes and
 * what they are made of.
 */
function neededNodes({ graph }: OnnxModel, outputs: readonly string[]): { nodes: FileNode[]; computed: Set<string> } {
  const computed = new Set(outputs);
  const needed = new Set(outputs);
  const nodes: FileNode[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    nodes.push(node);
    const isComputed = node.outputs.some((name) => computed.has(name));
    const reads = findOperator(node)?.reads ?? [];
    const inner = [...node.attributes.values()].flatMap(({ graph: branch }) => (branch ? namesIn(branch) : []));
    for (const [i, name] of [...node.inputs, ...inner].entries()) {
      needed.add(name);
      if (isComputed && !(i < node.inputs.length && reads.includes(i))) computed.add(name);
    }
  }
  return { nodes: nodes.reverse(), computed };
}

/** Every name that a branch mentions, those of the enclosing graph among them. */
function namesIn({ nodes, outputs }: OnnxSubgraph): string[] {
  const inner = nodes.flatMap((node) =>
    [...node.attributes.values()].flatMap(({ graph }) => (graph ? namesIn(graph) : [])),
  );
  return [...nodes.flatMap(({ inputs }) => inputs), ...outputs.map(({ name }) => name), ...inner];
}

/** What cannot be evaluated is said when the file is read, not when it is first used. */
function checkOperators(nodes: readonly FileNode[], { functions, opsets }: OnnxModel): void {
  const calls = new Set<string>();
  const check = (body: readonly FileNode[], versions: ReadonlyMap<string, number>) => {
    for (const node of body) {
      const key = `${node.domain}:${node.operator}`;
      if (functions.has(key)) calls.add(key);
      else if (!(node.operator === 'If' && node.domain === '') && !findOperator(node))
        throw unknownOperator(node, versions);
    }
  };
  check(nodes, opsets);
  // a set is visited in the order of insertion, with what is added on the way
  for (const key of calls) check(functions.get(key)?.nodes ?? [], functions.get(key)?.opsets ?? opsets);
}

interface ModelTensors {
  readonly constants: ReadonlyMap<string, Value>;
  readonly parameters: Readonly<Record<string, NdArray>>;
}

/** Weights become parameters; numbers, integers, and what is only read while tracing stay constants. */
function tensorsOf(
  graph: OnnxSubgraph,
  nodes: readonly FileNode[],
  computed: ReadonlySet<string>,
  readExternal: ReadExternal | undefined,
): ModelTensors {
  const constants = new Map<string, Value>();
  const parameters: Record<string, NdArray> = {};
  const used = new Set(
    nodes.flatMap((node) => [
      ...node.inputs,
      ...[...node.attributes.values()].flatMap(({ graph: g }) => (g ? namesIn(g) : [])),
    ]),
  );
  for (const [name, tensor] of namedTensors(graph, nodes)) {
    if (!used.has(name)) continue;
    const numbers = readTensor(tensor, readExternal);
    if (numbers.dtype === 'float32' && numbers.shape.length > 0 && computed.has(name))
      parameters[name] = float32(numbers.data as Float32Array, numbers.shape);
    else constants.set(name, knownValue(numbers));
  }
  return { constants, parameters };
}

/** Initializers, and constants that older exporters write as nodes. */
function namedTensors({ initializers }: OnnxSubgraph, nodes: readonly FileNode[]): [string, FileTensor][] {
  const written = nodes.flatMap(({ operator, outputs, attributes }): [string, FileTensor][] => {
    const tensor = operator === 'Constant' ? attributes.get('value')?.tensor : undefined;
    return tensor ? [[outputs[0] ?? '', tensor]] : [];
  });
  return [...initializers.map((tensor): [string, FileTensor] => [tensor.name, tensor]), ...written];
}
