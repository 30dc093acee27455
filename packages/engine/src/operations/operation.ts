import type { Tensor } from '@tensorflow/tfjs-core';
import type { Attributes, Draft, Node } from '../graph.ts';
import type { DType } from '../ndarray.ts';
import type { OnnxGraph } from '../onnx/graph.ts';
import type { Value } from '../onnx/layout.ts';
import type { Sample } from './samples.ts';

/**
 * One operation of the engine, known by its TensorFlow.js kernel name. This row is all there is to know about it; the
 * conformance tests (value, first and second derivative, every engine) are generated from it.
 */
export type Operation = Primitive | Composite;

interface Row {
  /** Names of the kernel's inputs in the order in which a node holds them; 'list' for any number of inputs. */
  readonly inputs: readonly string[] | 'list';
  /** Cases for the conformance tests. */
  readonly samples: readonly Sample[];
}

/** An operation that is recorded in the graph, and has a derivative and a lowering for every engine. */
export interface Primitive<A extends Attributes = Attributes> extends Row {
  /** Expresses special cases by other operations; `undefined`: record this one. */
  compose?(inputs: readonly Tensor[], attributes: A, context: ComposeContext): Tensor | undefined;
  /** Shape, dtype and normalised attributes of the result; it accepts its own normalised attributes. */
  infer(inputs: readonly Node[], attributes: A): Inferred;
  /** An equal but cheaper node, exact in real arithmetic. */
  simplify?(node: Draft & { readonly attributes: A }, add: AddNode): Node | undefined;
  /**
   * Reverse-mode rule, written in TensorFlow.js operations so that it is differentiable again. 'zero': flat everywhere;
   * none: asking for a derivative is an error.
   */
  gradient?: 'zero' | ((context: GradientContext<A>) => Gradients);
  lower(graph: OnnxGraph, inputs: readonly Value[], node: Node<A>): Value;
  /** How TensorFlow.js computes it, where it has no kernel of this name: for the reference engine. */
  evaluate?(inputs: readonly Tensor[], attributes: A): Tensor;
}

/** An operation that is always expressed by others, and so has no place in the graph. */
export interface Composite<A extends Attributes = Attributes> extends Row {
  compose(inputs: readonly Tensor[], attributes: A, context: ComposeContext): Tensor | readonly Tensor[];
}

export interface ComposeContext {
  /** Names of the inputs that were given: TensorFlow.js may leave some out. */
  readonly names: readonly string[];
  /** Beta of the softplus that stands for ReLU (`withSoftplus`); infinite where ReLU is ReLU. */
  readonly reluSharpness: number;
}

export interface Inferred {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly attributes?: Attributes;
}

export type AddNode = (kernel: string, inputs: readonly Node[], attributes?: Attributes) => Node;

export interface GradientContext<A extends Attributes = Attributes> {
  /** Cotangent of the output. */
  readonly dy: Tensor;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attributes: A;
  /** For each input the value that it has everywhere, if that is known. */
  readonly fills: readonly (number | undefined)[];
}

/** The cotangent of each input, computed only where it is needed; `undefined`: the output does not vary with that input. */
export type Gradients = readonly ((() => Tensor) | undefined)[];

/** A row with its own type of attributes. Forgetting that type is safe: a row meets only nodes of its own kernel. */
export function primitive<A extends Attributes = Attributes>(row: Primitive<A>): Primitive {
  return row as unknown as Primitive;
}

export function composite<A extends Attributes = Attributes>(row: Composite<A>): Composite {
  return row as unknown as Composite;
}

export function isPrimitive(operation: Operation): operation is Primitive {
  return 'infer' in operation;
}
