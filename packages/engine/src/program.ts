import type { Graph, Node } from './graph.ts';
import type { NdArray } from './ndarray.ts';

/**
 * How an input is given to a scan: `carried`, replaced after every step by the output of the same name; `each`, stacked along a new first axis, one for
 * every step; `fixed`, the same for all steps.
 */
export type ScanRole = 'carried' | 'each' | 'fixed';

/** A graph that one of the engines can run. */
export interface Program {
  /** About how many bytes it holds at present. */
  readonly bytes: number;
  /** Inputs and outputs in the order of the graph's; the inputs have been checked. */
  run(inputs: readonly NdArray[]): Promise<NdArray[]>;
  /**
   * Runs all steps without leaving the runtime; an engine that cannot has none. Outputs in the order of the graph's: of the last step where they are
   * carried, else stacked.
   */
  scan?(inputs: readonly NdArray[], roles: readonly ScanRole[]): Promise<NdArray[]>;
  /** Mean milliseconds of each node; an engine that cannot tell has none. */
  profile?(inputs: readonly NdArray[], runs: number): Promise<ReadonlyMap<Node, number>>;
  release(): Promise<void>;
}

export type Loader = (graph: Graph) => Promise<Program>;
