import type { Graph, Node } from './graph.ts';
import type { NdArray } from './ndarray.ts';

/** A graph that one of the engines can run. */
export interface Program {
  /** About how many bytes it holds while it is loaded. */
  readonly bytes: number;
  /** Inputs and outputs in the order of the graph's; the inputs have been checked. */
  run(inputs: readonly NdArray[]): Promise<NdArray[]>;
  /** Mean milliseconds of each node; an engine that cannot tell has none. */
  profile?(inputs: readonly NdArray[], runs: number): Promise<ReadonlyMap<Node, number>>;
  release(): Promise<void>;
}

export type Loader = (graph: Graph) => Promise<Program>;
