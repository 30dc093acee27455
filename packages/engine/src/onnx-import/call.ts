import type * as tf from '@tensorflow/tfjs-core';
import { EngineError, type EngineErrorReason } from '../errors.ts';
import type { FileAttribute, FileNode } from './decode.ts';
import { type ReadExternal, readTensor } from './tensor.ts';
import { imagesOf, knownValue, plainOf, tensorOf, type Value } from './value.ts';

/** One use of an operator in a model: its inputs and attributes, as the rows of the tables read them. */
export interface Call {
  readonly node: FileNode;
  /** Version of the operator set of the node's domain. */
  readonly opset: number;
  /** Whether any of its inputs is made of the model's inputs, the images. */
  readonly dependsOnImages: boolean;
  /** How many inputs the node names; some of them may be left out. */
  readonly count: number;
  has(index: number): boolean;
  /** @throws EngineError MALFORMED_FILE if the input is left out */
  value(index: number): Value;
  /** The input in ONNX' order of axes. */
  plain(index: number): tf.Tensor;
  /** The input, of four dimensions, as [N, H, W, C]. */
  images(index: number): tf.Tensor4D;
  /** Numbers of an input that must not depend on the model's inputs. */
  numbers(index: number): number[];
  /** Numbers that are an attribute in old operator sets and an input in new ones; `undefined` if neither is there. */
  numbersOf(attribute: string, index: number): number[] | undefined;
  hasAttribute(name: string): boolean;
  integer(name: string, fallback: number): number;
  float(name: string, fallback: number): number;
  text(name: string, fallback: string): string;
  integers(name: string): number[] | undefined;
  floats(name: string): readonly number[] | undefined;
  /** A tensor among the attributes. */
  tensorValue(name: string): Value | undefined;
  /** An error that names the operator and the node. */
  error(reason: EngineErrorReason, message: string): EngineError;
}

export interface CallContext {
  readonly opset: number;
  readonly dependsOnImages?: boolean;
  readonly readExternal?: ReadExternal | undefined;
}

/** The operator and where it stands, for people. */
export function describeNode({ operator, domain, name, outputs }: FileNode): string {
  return `${domain ? `${domain}.` : ''}${operator} (node '${name || outputs[0] || ''}')`;
}

export function callOf(
  node: FileNode,
  inputs: readonly (Value | undefined)[],
  { opset, dependsOnImages = true, readExternal }: CallContext,
): Call {
  const error = (reason: EngineErrorReason, message: string) =>
    new EngineError(reason, `${describeNode(node)}: ${message}`);
  const attribute = (name: string): FileAttribute | undefined => node.attributes.get(name);
  const value = (index: number): Value => {
    const input = inputs[index];
    if (input) return input;
    throw error('MALFORMED_FILE', `its input ${index} is missing`);
  };
  const numbers = (index: number): number[] => {
    const { known } = value(index);
    if (known) return Array.from(known.data);
    throw error(
      'UNSUPPORTED_OPERATION',
      `its input ${index} ('${node.inputs[index]}') depends on the images; only shapes that are known while tracing are supported`,
    );
  };
  return {
    node,
    opset,
    dependsOnImages,
    count: node.inputs.length,
    has: (index) => inputs[index] !== undefined,
    value,
    plain: (index) => plainOf(value(index)),
    images(index) {
      const { shape } = value(index);
      if (shape.length !== 4)
        throw error(
          'UNSUPPORTED_OPERATION',
          `its input has the shape [${shape}]; only images [N, C, H, W] are supported`,
        );
      return imagesOf(value(index));
    },
    numbers,
    numbersOf(name, index) {
      const given = attribute(name);
      if (given) return [...given.integers];
      return inputs[index] ? numbers(index) : undefined;
    },
    hasAttribute: (name) => node.attributes.has(name),
    integer: (name, fallback) => attribute(name)?.integer ?? fallback,
    float: (name, fallback) => attribute(name)?.float ?? fallback,
    text: (name, fallback) => attribute(name)?.text ?? fallback,
    integers: (name) => {
      const given = attribute(name);
      return given && [...given.integers];
    },
    floats: (name) => attribute(name)?.floats,
    tensorValue(name) {
      const tensor = attribute(name)?.tensor;
      return tensor && knownValue(readTensor(tensor, readExternal));
    },
    error,
  };
}

/** The input as it lies, and its layout with it. */
export function laid(call: Call, index: number): { value: Value; tensor: tf.Tensor } {
  const value = call.value(index);
  return { value, tensor: tensorOf(value) };
}

/** An axis without its sign. `last`: the largest that is allowed, by default the last axis there is. */
export function normalAxis(call: Call, axis: number, rank: number, last = rank - 1): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (Number.isInteger(axis) && normal >= 0 && normal <= last) return normal;
  throw call.error('SHAPE_MISMATCH', `axis ${axis} of a value of ${rank} dimensions`);
}
