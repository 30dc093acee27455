import type * as tf from '@tensorflow/tfjs-core';
import { EngineError } from './errors.ts';
import { describe, type Graph, type Node, sameShape } from './graph.ts';
import { writeGraph } from './graph-file.ts';
import { isLazy } from './lazy-array.ts';
import { type NdArray, sizeOf, type TensorSpec, type Tree } from './ndarray.ts';
import type { Program } from './program.ts';
import { merged, namesOf, planScan, pruned, type ScanInputs, type ScanOutputs, scanProgram } from './scan.ts';
import { type ArraysOf, describeValue, flatten, isArray, isName, mapTree } from './tree.ts';

/** A function that the engine has traced and loaded. */
export interface Compiled<I = Tree<TensorSpec>, O = Tree<tf.Tensor>> {
  readonly graph: Graph;
  /**
   * Runs the function. Inputs are read in place, and outputs, which are new arrays, may be fed back as inputs. On a GPU outputs stay there until their numbers are
   * read, and inputs that came from there or are constant (`constantArrays`) are used there; others are copied to it.
   * @throws EngineError INVALID_INPUT if an input is missing, unknown, of another dtype or shape than was compiled, or, where that is
   * to be checked, not finite.
   */
  run(inputs: ArraysOf<I>, options?: RunOptions): Promise<ArraysOf<O>>;
  /**
   * Runs the function step by step, its carried outputs taking the places of the inputs of the same names. The numbers are those of as many `run`s; on
   * the engine onnx the carried arrays stay in the runtime in between, which spares a small network's training step a fifth of its time.
   * @throws EngineError INVALID_INPUT as `run`, and if an input that is carried is no output of its dtype and shape, or there is no step
   */
  scan(inputs: ScanInputs, options?: RunOptions): Promise<ScanOutputs>;
  /**
   * Mean milliseconds that each node of the graph takes, over `runs` runs (default 10): for `explainGraph`. Slower than `run`, and loads the function once more.
   * @throws EngineError UNSUPPORTED_OPERATION on an engine that cannot tell
   */
  profile(inputs: ArraysOf<I>, runs?: number): Promise<ReadonlyMap<Node, number>>;
  /** The traced function as a file, which `Engine.load` reads: it saves tracing, not loading. */
  save(): Uint8Array;
  /** Frees what the runtime holds, for everybody who shares this function; running it again is an error. */
  release(): Promise<void>;
}

export interface RunOptions {
  /** Looks for NaN and infinities in all inputs first (default false: it reads every number once more). */
  readonly checkFinite?: boolean;
}

/** What a compiled function needs of its engine. */
export interface Host {
  /** Called at every run: marks as used last, and makes room if the program has to be loaded. */
  use(compiled: CompiledFunction): Promise<Program>;
  /** Unloads a function when its runs are over. */
  forget(compiled: CompiledFunction): Promise<void>;
}

/** See `Compiled`. The program may be evicted to save memory; the next run then loads it again. */
export class CompiledFunction implements Compiled {
  readonly graph: Graph;
  readonly #host: Host;
  /** The names of the outputs in the form of the function's result. */
  readonly #outputTree: Tree<string>;
  readonly #pending = new Set<Promise<unknown>>();
  #isReleased = false;

  constructor(graph: Graph, outputTree: Tree<string>, host: Host) {
    this.graph = graph;
    this.#outputTree = outputTree;
    this.#host = host;
  }

  async run(inputs: Tree<NdArray>, { checkFinite = false }: RunOptions = {}): Promise<Tree<NdArray>> {
    const ordered = this.#checked(inputs, checkFinite);
    return this.#outputs(await this.#use((program) => program.run(ordered)));
  }

  async scan(
    { carried, each, fixed = {} }: ScanInputs,
    { checkFinite = false }: RunOptions = {},
  ): Promise<ScanOutputs> {
    const { name: title, outputs } = this.graph;
    if (each.length === 0) throw new EngineError('INVALID_INPUT', `'${title}' was given no step to scan`);
    const steps = each.map((own) => this.#checked(merged(title, [carried, fixed, own]), checkFinite));
    const state = namesOf(carried);
    const plan = planScan(this.graph, state, namesOf(fixed));
    const arrays = await this.#use((program) => scanProgram(program, steps, plan));
    const byName = new Map(outputs.map(({ name }, o) => [name, arrays[o] ?? []]));
    const rest = pruned(this.#outputTree, (name) => !state.has(name));
    const at = (name: string, step: number): NdArray => {
      const array = byName.get(name)?.[step];
      if (!array) throw new EngineError('RUNTIME_FAILURE', `'${title}' gave no output '${name}' at step ${step}`);
      return array;
    };
    return {
      carried: mapTree(carried, isArray, (_, name) => at(name, 0)),
      each: each.map((_, step) => (rest === undefined ? {} : mapTree(rest, isName, (name) => at(name, step)))),
    };
  }

  async profile(inputs: Tree<NdArray>, runs = 10): Promise<ReadonlyMap<Node, number>> {
    if (!Number.isInteger(runs) || runs < 1)
      throw new EngineError('INVALID_INPUT', `runs is ${runs}; it must be an integer from 1 on`);
    const ordered = this.#checked(inputs, false);
    return this.#use((program) => {
      if (program.profile) return program.profile(ordered, runs);
      throw new EngineError('UNSUPPORTED_OPERATION', 'this engine cannot say how long a node takes: profile on onnx');
    });
  }

  save(): Uint8Array {
    return writeGraph(this.graph, this.#outputTree);
  }

  /** Does something with the loaded program, which stays loaded meanwhile. */
  async #use<T>(action: (program: Program) => Promise<T>): Promise<T> {
    if (this.#isReleased)
      throw new EngineError('RUNTIME_FAILURE', `'${this.graph.name}' was released; compile it again`);
    const result = this.#host.use(this).then(action);
    this.#pending.add(result);
    try {
      return await result;
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

  /** The inputs in the order of the graph's. */
  #checked(tree: Tree<NdArray>, checkFinite: boolean): NdArray[] {
    const { name: title, inputs } = this.graph;
    const leaves = flatten(tree, isArray, `'${title}': input`);
    const given = new Map(leaves.map(({ name, value }) => [name, value]));
    const ordered = inputs.map(({ name, node }) => {
      const array = given.get(name);
      if (!array) throw new EngineError('INVALID_INPUT', `'${title}' lacks its input '${name}', ${describe(node)}`);
      if (array.dtype !== node.dtype || !sameShape(array.shape, node.shape))
        throw new EngineError(
          'INVALID_INPUT',
          `'${title}' wants ${describe(node)} as '${name}' and was given ${describe(array)}`,
        );
      if (!isLazy(array)) checkData(title, name, array);
      if (checkFinite) requireFinite(title, name, array);
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
    return mapTree(this.#outputTree, isName, (name) => {
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

function requireFinite(title: string, name: string, { dtype, data }: NdArray): void {
  const place = dtype === 'float32' ? data.findIndex((value) => !Number.isFinite(value)) : -1;
  if (place >= 0)
    throw new EngineError(
      'INVALID_INPUT',
      `'${title}', input '${name}': number ${place} is ${data[place]}, not finite`,
    );
}
