import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import { CONSTANT_LIMIT } from '../graph.ts';
import { sizeOf } from '../ndarray.ts';
import { callOf, describeNode } from './call.ts';
import type { FileAttribute, FileNode, OnnxFunction, OnnxSubgraph } from './decode.ts';
import { type FixedBatch, withActualBatch } from './fixed-batch.ts';
import { findOperator, whyRefused } from './operators/table.ts';
import { type ReadExternal, readTensor } from './tensor.ts';
import { isKnown, knownValue, plainOf, type Value } from './value.ts';

/** Nodes that are evaluated at most, functions and branches included. */
const MAX_EVALUATIONS = 200_000;
const MAX_DEPTH = 16;
/** Products of the sizes of known operands up to which an operation is computed while reading; larger ones are traced. */
const FOLD_LIMIT = 2 ** 24;
const SIZE_LIMIT = 2 ** 31;

export interface Evaluation {
  readonly functions: ReadonlyMap<string, OnnxFunction>;
  readonly readExternal: ReadExternal | undefined;
  readonly batch: FixedBatch | undefined;
  /** Values whose first axis is the batch. */
  readonly batched: WeakSet<Value>;
  /** Outputs that their operator has and its row does not give, by name: an error once somebody needs them. */
  readonly withheld: Map<string, string>;
  evaluations: number;
}

type Values = Map<string, Value>;
type Opsets = ReadonlyMap<string, number>;

/** Evaluates nodes, which stand in order, and adds what they give to `values`. */
export function evaluateNodes(
  nodes: readonly FileNode[],
  values: Values,
  opsets: Opsets,
  state: Evaluation,
  depth = 0,
): void {
  if (depth > MAX_DEPTH)
    throw new EngineError('MALFORMED_FILE', `functions and branches are nested more than ${MAX_DEPTH} deep`);
  for (const node of nodes) {
    if (++state.evaluations > MAX_EVALUATIONS)
      throw new EngineError(
        'MALFORMED_FILE',
        `the model has more than ${MAX_EVALUATIONS} nodes, functions written out`,
      );
    const inputs = node.inputs.map((name) => (name === '' ? undefined : valueNamed(values, name, node, state)));
    const results = evaluateNode(node, inputs, values, opsets, state, depth);
    const isBatched = inputs.some((input) => input && state.batched.has(input));
    for (const [i, name] of node.outputs.entries()) {
      const result = results[i];
      if (result && isBatched) state.batched.add(result);
      if (result && name !== '') values.set(name, result);
      else state.withheld.set(name, `${describeNode(node)}: its output ${i}, which is used, is not supported`);
    }
  }
}

function valueNamed(values: Values, name: string, node: FileNode, { withheld }: Evaluation): Value {
  const value = values.get(name);
  if (value) return value;
  const why = withheld.get(name);
  if (why !== undefined) throw new EngineError('UNSUPPORTED_OPERATION', why);
  throw new EngineError('MALFORMED_FILE', `${describeNode(node)}: its input '${name}' is not computed before it`);
}

function evaluateNode(
  node: FileNode,
  inputs: readonly (Value | undefined)[],
  values: Values,
  opsets: Opsets,
  state: Evaluation,
  depth: number,
): readonly Value[] {
  const definition = state.functions.get(`${node.domain}:${node.operator}`);
  if (definition) return evaluateFunction(definition, node, inputs, state, depth);
  if (node.operator === 'If' && node.domain === '') return evaluateBranch(node, inputs, values, opsets, state, depth);
  return evaluateOperator(node, inputs, opsets, state);
}

/** A function of the file is written out where it is called. */
function evaluateFunction(
  definition: OnnxFunction,
  node: FileNode,
  inputs: readonly (Value | undefined)[],
  state: Evaluation,
  depth: number,
): Value[] {
  const given = new Map([...definition.defaults, ...node.attributes]);
  const values: Values = new Map();
  for (const [i, name] of definition.inputs.entries()) {
    const input = inputs[i];
    if (input) values.set(name, input);
  }
  const nodes = definition.nodes.map((inner) => ({ ...inner, attributes: resolved(inner.attributes, given) }));
  // an optional input of the function that the call leaves out is left out inside as well
  const absent = new Set(definition.inputs.filter((name) => !values.has(name)));
  const trimmed = nodes.map((inner) => ({
    ...inner,
    inputs: inner.inputs.map((name) => (absent.has(name) ? '' : name)),
  }));
  evaluateNodes(trimmed, values, definition.opsets, state, depth + 1);
  return definition.outputs.map((name) => valueNamed(values, name, node, state));
}

/** Attributes that stand for those of the enclosing function take their values. */
function resolved(attributes: ReadonlyMap<string, FileAttribute>, given: ReadonlyMap<string, FileAttribute>) {
  return new Map(
    [...attributes].flatMap(([name, attribute]) => {
      if (attribute.reference === '') return [[name, attribute] as const];
      const value = given.get(attribute.reference);
      return value ? [[name, { ...value, name }] as const] : [];
    }),
  );
}

/** A branch is taken while reading: its condition is arithmetic on shapes. */
function evaluateBranch(
  node: FileNode,
  inputs: readonly (Value | undefined)[],
  values: Values,
  opsets: Opsets,
  state: Evaluation,
  depth: number,
): Value[] {
  const condition = callOf(node, inputs, { opset: 0 }).numbers(0)[0];
  const branch = node.attributes.get(condition ? 'then_branch' : 'else_branch')?.graph;
  if (!branch) throw new EngineError('MALFORMED_FILE', `${describeNode(node)}: it lacks a branch`);
  const inner: Values = new Map(values);
  addInitializers(branch, inner, state.readExternal);
  evaluateNodes(branch.nodes, inner, opsets, state, depth + 1);
  return branch.outputs.map(({ name }) => valueNamed(inner, name, node, state));
}

function addInitializers({ initializers }: OnnxSubgraph, values: Values, readExternal: ReadExternal | undefined): void {
  for (const tensor of initializers) values.set(tensor.name, knownValue(readTensor(tensor, readExternal)));
}

function evaluateOperator(
  node: FileNode,
  given: readonly (Value | undefined)[],
  opsets: Opsets,
  { readExternal, batch, batched }: Evaluation,
): readonly Value[] {
  const row = findOperator(node);
  if (!row) throw unknownOperator(node, opsets);
  const what = describeNode(node);
  return locating(what, () => {
    const inputs = batch ? withActualBatch(node, given, batch) : given;
    const dependsOnImages = given.some((input) => input && batched.has(input));
    const call = callOf(node, inputs, { opset: opsets.get(node.domain) ?? 1, dependsOnImages, readExternal });
    const evaluate = () => [row.evaluate(call)].flat();
    const results = canFold(inputs) ? folded(evaluate) : evaluate();
    for (const result of results) checkResult(what, result);
    return results;
  });
}

/** What is computed while reading is small. A weight is known as well, but lies in the file already. */
function checkResult(what: string, result: Value): void {
  const { shape } = result;
  const says = `${what}: its result would have the shape [${shape}]`;
  if (!shape.every((size) => Number.isInteger(size) && size >= 0) || sizeOf(shape) > SIZE_LIMIT)
    throw new EngineError('SHAPE_MISMATCH', says);
  if (isKnown(result) && sizeOf(shape) > CONSTANT_LIMIT)
    throw new EngineError('UNSUPPORTED_OPERATION', `${says}; the limit is ${CONSTANT_LIMIT} numbers`);
}

export function unknownOperator(node: FileNode, opsets: Opsets): EngineError {
  const version = opsets.get(node.domain);
  return new EngineError(
    'UNSUPPORTED_OPERATION',
    `${describeNode(node)}, domain ${node.domain || 'ai.onnx'}${version === undefined ? '' : `, operator set ${version}`}, is not supported: ${whyRefused(node.operator)}`,
  );
}

function canFold(inputs: readonly (Value | undefined)[]): boolean {
  const given = inputs.flatMap((input) => input ?? []);
  return (
    given.length > 0 &&
    given.every(isKnown) &&
    sizeOf(given.map(({ shape }) => Math.max(1, sizeOf(shape)))) <= FOLD_LIMIT
  );
}

/** Loads what `folded` computes with. */
export async function loadFolding(): Promise<void> {
  await import('@tensorflow/tfjs-backend-cpu');
}

/** Computes with TensorFlow.js' plain backend instead of recording: arithmetic on shapes has its result while tracing. */
function folded(evaluate: () => readonly Value[]): Value[] {
  const before = tf.getBackend();
  void tf.setBackend('cpu');
  // on its first use this backend recommends another one on the console; a library should not
  (tf.backend() as { firstUse?: boolean }).firstUse = false;
  tf.engine().startScope('fold');
  try {
    return evaluate().map((value) => {
      if (isKnown(value)) return value;
      const tensor = plainOf(value);
      return knownValue({ shape: tensor.shape, dtype: value.dtype, data: tensor.dataSync().slice() });
    });
  } finally {
    tf.engine().endScope();
    void tf.setBackend(before);
  }
}

/** Whatever goes wrong with a node is an error that names it. */
function locating<T>(what: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    if (cause instanceof EngineError && message.startsWith(what)) throw cause;
    // what TensorFlow.js refuses itself does not fit together
    const reason = cause instanceof EngineError ? cause.reason : 'SHAPE_MISMATCH';
    throw new EngineError(reason, `${what}: ${message}`, { cause });
  }
}
