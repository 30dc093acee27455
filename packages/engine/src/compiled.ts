import type * as tf from '@tensorflow/tfjs-core';
import { EngineError } from './errors.ts';
import { describe, type Graph, sameShape } from './graph.ts';
import { type NdArray, sizeOf, type TensorSpec, type Tree } from './ndarray.ts';
import type { Program } from './program.ts';
import { type ArraysOf, describeValue, flatten, isArray, isTensor, type Leaf, mapTree } from './tree.ts';

/** A function that the engine has traced and loaded. */
export interface Compiled<I = Tree<TensorSpec>, O = Tree<tf.Tensor>> {
  readonly graph: Graph;
  /**
   * Runs the function. Inputs are read in place and outputs may be fed back as inputs; neither is copied.
   * @throws EngineError INVALID_INPUT if an input is missing, unknown, or of another dtype or shape than was compiled.
   */
  run(inputs: ArraysOf<I>): Promise<ArraysOf<O>>;
  /** Frees what the runtime holds, for everybody who shares this function; running it again is an error. */
  release(): Promise<void>;
}

/** What a compiled function needs of its engine. */
export interface Host {
  /** Called at every run: marks as used last, and makes room if the program has to be loaded. */
  load(compiled: CompiledFunction): Promise<Program>;
  /** Unloads a function when its runs are over. */
  forget(compiled: CompiledFunction): Promise<void>;
}

/** See `Compiled`. The program may be evicted to save memory; the next run then loads it again. */
export class CompiledFunction implements Compiled {
  readonly graph: Graph;
  readonly #host: Host;
  readonly #outputTree: Tree<tf.Tensor>;
  readonly #pending = new Set<Promise<unknown>>();
  #isReleased = false;

  constructor(graph: Graph, outputTree: Tree<tf.Tensor>, host: Host) {
    this.graph = graph;
    this.#outputTree = outputTree;
    this.#host = host;
  }

  async run(inputs: Tree<NdArray>): Promise<Tree<NdArray>> {
    const ordered = this.#checked(flatten(inputs, isArray, `'${this.graph.name}': input`));
    if (this.#isReleased)
      throw new EngineError('RUNTIME_FAILURE', `'${this.graph.name}' was released; compile it again`);
    const result = this.#host.load(this).then((program) => program.run(ordered));
    this.#pending.add(result);
    try {
      return this.#outputs(await result);
    } finally {
      this.#pending.delete(result);
    }
  }

  async release(): Promise<void> {
    this.#isReleased = true;
    await this.#host.forget(this);
  }

  /** Resolves when no run is going on. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#pending);
  }

  #checked(leaves: readonly Leaf<NdArray>[]): NdArray[] {
    const { name: title, inputs } = this.graph;
    const given = new Map(leaves.map(({ name, value }) => [name, value]));
    const ordered = inputs.map(({ name, node }) => {
      const array = given.get(name);
      if (!array) throw new EngineError('INVALID_INPUT', `'${title}' lacks its input '${name}', ${describe(node)}`);
      if (array.dtype !== node.dtype || !sameShape(array.shape, node.shape))
        throw new EngineError(
          'INVALID_INPUT',
          `'${title}' wants ${describe(node)} as '${name}' and was given ${describe(array)}`,
        );
      checkData(title, name, array);
      given.delete(name);
      return array;
    });
    const [unknown] = given.keys();
    if (unknown !== undefined)
      throw new EngineError(
        'INVALID_INPUT',
        `'${title}' has no input '${unknown}'; it has ${inputs.map(({ name }) => name).join(', ')}`,
      );
    return ordered;
  }

  #outputs(arrays: readonly NdArray[]): Tree<NdArray> {
    const byName = new Map(this.graph.outputs.map(({ name }, i) => [name, arrays[i]]));
    return mapTree(this.#outputTree, isTensor, (_, name) => {
      const array = byName.get(name);
      if (!array) throw new EngineError('RUNTIME_FAILURE', `'${this.graph.name}' gave no output '${name}'`);
      return array;
    });
  }
}

const ARRAY_TYPES = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

function checkData(title: string, name: string, { dtype, shape, data }: NdArray): void {
  if (!(data instanceof ARRAY_TYPES[dtype]))
    throw new EngineError(
      'INVALID_INPUT',
      `'${title}', input '${name}': ${dtype} wants a ${ARRAY_TYPES[dtype].name}, not ${describeValue(data)}`,
    );
  if (data.length !== sizeOf(shape))
    throw new EngineError(
      'INVALID_INPUT',
      `'${title}', input '${name}': ${data.length} numbers do not fill [${shape}]`,
    );
}
