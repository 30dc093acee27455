import * as tf from '@tensorflow/tfjs-core';
import { chooseEngine, type DeviceName, type EngineName } from './choice.ts';
import { type Compiled, CompiledFunction, type Host } from './compiled.ts';
import { grantedCores } from './cores.ts';
import { EngineError } from './errors.ts';
import { readGraph } from './graph-file.ts';
import type { TensorSpec, Tree } from './ndarray.ts';
import type { Loader, Program } from './program.ts';
import { type EngineInfo, obstacles, openRuntime } from './runtime.ts';
import { traceFunction } from './trace-function.ts';
import { flatten, isSpec, type TracedTree } from './tree.ts';

export interface EngineOptions {
  /** `onnx`: ONNX Runtime. `tensorflow`: TensorFlow, if it is installed. `reference`: TensorFlow.js' plain JavaScript, for tests. `auto` (default): onnx. */
  readonly engine?: EngineName | 'auto';
  /** `cpu`; `cuda`: an NVIDIA GPU; `webgpu`: any GPU, with the engine onnx. `auto` (default): cuda if it is there and works, else cpu. */
  readonly device?: DeviceName | 'auto';
  /** Threads of one operator, 1 to 256. Default: the cores that this process was granted. */
  readonly threads?: number;
  /** Channels per block of the image layout. Default: what the processor's kernels want; 1 is standard ONNX, and all that other engines and devices know. */
  readonly blockSize?: number;
  /** Most compiled functions that stay loaded (default 64); more, and the one used longest ago is unloaded. */
  readonly cacheEntries?: number;
  /** Most bytes that they may need together, roughly. Default: 2 GiB, on a GPU half its memory. */
  readonly cacheBytes?: number;
}

export interface Engine {
  readonly info: EngineInfo;
  /** How many compiled functions are loaded now. */
  readonly loaded: number;
  /**
   * Traces `fn` (once: it must be pure and may not read values) for inputs of these shapes and loads it. The same function
   * and specs give the same compiled function, so give `fn` a home outside the loop.
   * @throws EngineError
   */
  compile<I extends Tree<TensorSpec>, O extends Tree<tf.Tensor>>(
    fn: (inputs: TracedTree<I>) => O,
    specs: I,
    options?: { readonly name?: string },
  ): Promise<Compiled<I, O>>;
  /**
   * Loads what `Compiled.save` wrote; the types of its inputs and outputs are the caller's to know.
   * @throws EngineError MALFORMED_FILE
   */
  load(file: Uint8Array): Promise<Compiled>;
  /** Releases all compiled functions. */
  dispose(): Promise<void>;
}

/**
 * @throws EngineError INVALID_INPUT if an option is out of range; MISSING_ENGINE if an engine or device that was asked for is not there: nothing else
 * is taken in its place.
 */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const { engine, device, threads = grantedCores(), blockSize, cacheEntries = 64 } = options;
  requireInteger('threads', threads, 1, 256);
  requireInteger('cacheEntries', cacheEntries, 1, 1e6);
  if (options.cacheBytes !== undefined) requireInteger('cacheBytes', options.cacheBytes, 1, Number.MAX_SAFE_INTEGER);
  const choice = await chooseEngine({ engine, device }, obstacles);
  const { info, load, deviceBytes } = await openRuntime(choice, { threads, blockSize });
  const { cacheBytes = deviceBytes === undefined ? 2 ** 31 : deviceBytes / 2 } = options;
  return new LocalEngine(info, load, { cacheEntries, cacheBytes });
}

/** An engine that says on standard error what was chosen and why: for processes that start one. @throws EngineError as `createEngine` */
export async function createAnnouncedEngine(options: EngineOptions = {}): Promise<Engine> {
  const engine = await createEngine(options);
  process.stderr.write(`${describeEngine(engine.info)}\n`);
  return engine;
}

/** One line for logs: what runs the graphs, and why. */
export function describeEngine({ engine, device, threads, blockSize, runtimeVersion, reason }: EngineInfo): string {
  return `engine ${engine} (${runtimeVersion}) on ${device}, ${threads} thread(s), blocks of ${blockSize}: ${reason}`;
}

function requireInteger(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new EngineError('INVALID_INPUT', `${name} is ${value}; it must be an integer from ${least} to ${most}`);
}

interface Loaded {
  readonly program: Promise<Program>;
  /** The program, once it is there: what it needs may grow. */
  ready?: Program;
}

class LocalEngine implements Engine, Host {
  readonly info: EngineInfo;
  readonly #loader: Loader;
  readonly #limits: { readonly cacheEntries: number; readonly cacheBytes: number };
  readonly #ids = new WeakMap<object, number>();
  #nextId = 0;
  /** By function and specs; what was unloaded is forgotten here too, though its holders may go on using it. */
  readonly #compiled = new Map<string, CompiledFunction>();
  /** In the order of last use. */
  readonly #loaded = new Map<CompiledFunction, Loaded>();
  readonly #closing = new Set<Promise<void>>();
  #isDisposed = false;

  constructor(info: EngineInfo, loader: Loader, limits: { cacheEntries: number; cacheBytes: number }) {
    this.info = info;
    this.#loader = loader;
    this.#limits = limits;
  }

  get loaded(): number {
    return this.#loaded.size;
  }

  async compile<I extends Tree<TensorSpec>, O extends Tree<tf.Tensor>>(
    fn: (inputs: TracedTree<I>) => O,
    specs: I,
    { name = fn.name || 'anonymous' }: { readonly name?: string } = {},
  ): Promise<Compiled<I, O>> {
    this.#requireAlive();
    const key = `${this.#idOf(fn)}|${specsKey(specs, name)}`;
    const known = this.#compiled.get(key);
    const compiled = known ?? this.#trace(fn, specs, name);
    this.#compiled.set(key, compiled);
    await this.use(compiled);
    return compiled as unknown as Compiled<I, O>;
  }

  async load(file: Uint8Array): Promise<Compiled> {
    this.#requireAlive();
    const { graph, result } = readGraph(file);
    const compiled = new CompiledFunction(graph, result, this);
    await this.use(compiled);
    return compiled;
  }

  #requireAlive(): void {
    if (this.#isDisposed) throw new EngineError('RUNTIME_FAILURE', 'the engine was disposed');
  }

  #trace(fn: (inputs: never) => Tree<tf.Tensor>, specs: Tree<TensorSpec>, name: string): CompiledFunction {
    const { graph, result } = traceFunction(fn, specs, name);
    return new CompiledFunction(graph, result, this);
  }

  use(compiled: CompiledFunction): Promise<Program> {
    const known = this.#loaded.get(compiled);
    this.#loaded.delete(compiled);
    const loaded: Loaded = known ?? { program: this.#loader(compiled.graph) };
    this.#loaded.set(compiled, loaded);
    if (known) return known.program;
    return loaded.program.then(
      (program) => {
        loaded.ready = program;
        this.#evict(compiled);
        return program;
      },
      (error: unknown) => {
        void this.forget(compiled); // so that the next attempt is a new one
        throw error;
      },
    );
  }

  forget(compiled: CompiledFunction): Promise<void> {
    for (const [key, value] of this.#compiled) if (value === compiled) this.#compiled.delete(key);
    const loaded = this.#loaded.get(compiled);
    this.#loaded.delete(compiled);
    return loaded ? this.#close(compiled, loaded) : Promise.resolve();
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const all = new Set([...this.#compiled.values(), ...this.#loaded.keys()]);
    await Promise.all([...all].map((compiled) => compiled.release()));
    await Promise.all(this.#closing);
  }

  /** Nobody waits for what is evicted: its runs may in turn wait for room. */
  #evict(keep: CompiledFunction): void {
    const total = () => [...this.#loaded.values()].reduce((sum, { ready }) => sum + (ready?.bytes ?? 0), 0);
    const isFull = () => this.#loaded.size > this.#limits.cacheEntries || total() > this.#limits.cacheBytes;
    for (const compiled of [...this.#loaded.keys()]) if (compiled !== keep && isFull()) void this.forget(compiled);
  }

  /** Releases a program when its runs are over. */
  #close(compiled: CompiledFunction, { program }: Loaded): Promise<void> {
    const closing = compiled
      .settled()
      .then(() => program)
      .then((loaded) => loaded.release())
      .catch(() => undefined) // a program that failed to load: whoever asked for it has heard of it
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return closing;
  }

  #idOf(fn: object): number {
    const id = this.#ids.get(fn) ?? this.#nextId++;
    this.#ids.set(fn, id);
    return id;
  }
}

function specsKey(specs: Tree<TensorSpec>, name: string): string {
  const leaves = flatten(specs, isSpec, `'${name}': spec`);
  for (const { name: leaf, value } of leaves) checkSpec(name, leaf, value);
  return JSON.stringify([name, ...leaves.map(({ name: leaf, value }) => [leaf, value.dtype, value.shape])]);
}

function checkSpec(title: string, name: string, { shape, dtype }: TensorSpec): void {
  if (!['float32', 'int32', 'bool'].includes(dtype))
    throw new EngineError(
      'INVALID_INPUT',
      `'${title}', input '${name}': dtype ${dtype}; there are float32, int32 and bool`,
    );
  if (!shape.every((dimension) => Number.isInteger(dimension) && dimension > 0))
    throw new EngineError(
      'INVALID_INPUT',
      `'${title}', input '${name}': shape [${shape}]; every dimension must be a positive integer`,
    );
}
