import type { NdArray } from '../ndarray.ts';
import { allocate, blockOf, collectGarbage, type DeviceMemory, deviceArray, free, ortValue } from './device-array.ts';
import { call, make, type Pointer } from './native.ts';
import type { NamedSpec, Session } from './session.ts';

export interface DeviceOptions {
  readonly memory: DeviceMemory;
  readonly threads: number;
  /** Adds the device's provider to session options. */
  readonly addProvider?: (options: Pointer) => void;
  /** A path prefix: every operator's time is written there. */
  readonly profile?: string | undefined;
}

const ALL_OPTIMIZATIONS = 99;
/** What goes wrong comes back as an error; ONNX Runtime prints what is fatal only. */
const FATAL_ONLY = 4;

let environment: Pointer | undefined;

/**
 * A model in ONNX Runtime, through its C interface: what comes out stays on the device, and goes in again without a copy. onnxruntime-node cannot do that:
 * it copies all inputs to the device and all outputs back at every run.
 */
export class DeviceSession implements Session {
  readonly #memory: DeviceMemory;
  readonly #session: Pointer;
  readonly #binding: Pointer;

  /** @throws EngineError RUNTIME_FAILURE */
  constructor(model: Uint8Array, { memory, threads, addProvider, profile }: DeviceOptions) {
    environment ??= make('CreateEnv', FATAL_ONLY, 'jsigr');
    const options = make('CreateSessionOptions');
    try {
      call('SetSessionGraphOptimizationLevel', options, ALL_OPTIMIZATIONS);
      call('SetSessionLogSeverityLevel', options, FATAL_ONLY);
      call('SetIntraOpNumThreads', options, threads);
      if (profile !== undefined) call('EnableProfiling', options, profile);
      addProvider?.(options);
      this.#session = make('CreateSessionFromArray', environment, model, model.byteLength, options);
    } finally {
      call('ReleaseSessionOptions', options);
    }
    this.#memory = memory;
    this.#binding = make('CreateIoBinding', this.#session);
  }

  /** @throws EngineError RUNTIME_FAILURE */
  async run(inputs: ReadonlyMap<string, NdArray>, outputs: readonly NamedSpec[]): Promise<NdArray[]> {
    await collectGarbage(this.#memory);
    const results = outputs.map((spec) => ({ spec, block: allocate(this.#memory, spec) }));
    try {
      for (const [name, array] of inputs) this.#bindInput(name, array);
      for (const { spec, block } of results) call('BindOutput', this.#binding, spec.name, block.value);
      this.#memory.finish();
      call('RunWithBinding', this.#session, null, this.#binding); // returns when the device is done
    } catch (error) {
      for (const { block } of results) free(block);
      throw error;
    } finally {
      call('ClearBoundInputs', this.#binding);
      call('ClearBoundOutputs', this.#binding);
    }
    return results.map(({ spec, block }) => deviceArray(block, spec));
  }

  /** What is on the device is used where it is; anything else is copied to it now. */
  #bindInput(name: string, array: NdArray): void {
    const block = blockOf(array, this.#memory);
    const value = block ? undefined : ortValue('Cpu', array.data, array.data.byteLength, array);
    try {
      call('BindInput', this.#binding, name, block?.value ?? value ?? null);
    } finally {
      if (value !== undefined) call('ReleaseValue', value);
    }
  }

  endProfiling(): void {
    const allocator = make('GetAllocatorWithDefaultOptions');
    call('AllocatorFree', allocator, make('SessionEndProfiling', this.#session, allocator));
  }

  /** Arrays that came out of it live on. */
  async release(): Promise<void> {
    call('ReleaseIoBinding', this.#binding);
    call('ReleaseSession', this.#session);
  }
}
