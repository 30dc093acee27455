import type { Call } from './call.ts';
import type { Value } from './value.ts';

/** One operator of ONNX: how a call of it is written in the engine's operations. */
export interface OnnxOperator {
  /** Inputs whose numbers are read while tracing (shapes, axes, limits) rather than computed with. */
  readonly reads?: readonly number[];
  /** What the node gives; operators with one output give the value itself. */
  readonly evaluate: (call: Call) => Value | readonly Value[];
}

export type OperatorTable = Readonly<Record<string, OnnxOperator>>;
