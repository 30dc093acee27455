import './no-telemetry.ts';
import * as ort from 'onnxruntime-node';
import type { DeviceName } from '../choice.ts';
import type { NdArray, TensorSpec } from '../ndarray.ts';

/** An execution provider of ONNX Runtime; what it lacks runs on the CPU. */
export type Provider = DeviceName;

export interface SessionOptions {
  readonly threads: number;
  readonly device: Provider;
  /** A path prefix: every operator's time is written there. */
  readonly profile?: string;
}

/** A model that ONNX Runtime has loaded. */
export interface Session {
  /** @throws whatever ONNX Runtime says */
  run(inputs: ReadonlyMap<string, NdArray>, outputs: readonly NamedSpec[]): Promise<NdArray[]>;
  endProfiling(): void;
  release(): Promise<void>;
}

export type NamedSpec = TensorSpec & { readonly name: string };

/** Loads a model. @throws whatever ONNX Runtime says */
export async function openSession(model: Uint8Array, options: SessionOptions): Promise<Session> {
  return options.device === 'cuda' ? openOnCuda(model, options) : openInNode(model, options);
}

/** CUDA is reached through ONNX Runtime's C interface, whose arrays can stay on the GPU between runs; onnxruntime-node copies them at every run. */
async function openOnCuda(model: Uint8Array, { threads, profile }: SessionOptions): Promise<Session> {
  const [{ addCuda, cudaMemory }, { DeviceSession }] = await Promise.all([
    import('./cuda.ts'),
    import('./device-session.ts'),
  ]);
  return new DeviceSession(model, { memory: cudaMemory(), threads, addProvider: addCuda, profile });
}

async function openInNode(model: Uint8Array, options: SessionOptions): Promise<Session> {
  const session = await createSession(model, options);
  return {
    async run(inputs, outputs) {
      const feeds: Record<string, ort.Tensor> = {};
      // reads the numbers in place
      for (const [name, { dtype, shape, data }] of inputs) feeds[name] = new ort.Tensor(dtype, data, shape);
      const results = await session.run(feeds);
      return outputs.map(({ name, dtype }) => {
        const result = results[name];
        if (!result) throw new Error(`there is no output ${name}`);
        return { dtype, shape: result.dims, data: result.data as NdArray['data'] }; // a scan's have an axis more
      });
    },
    endProfiling: () => session.endProfiling(),
    release: () => session.release(),
  };
}

/** A session of onnxruntime-node with the options that measurements chose. */
export function createSession(
  model: Uint8Array,
  { threads, device, profile }: SessionOptions,
): Promise<ort.InferenceSession> {
  return ort.InferenceSession.create(model, {
    executionProviders: [device],
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
    // The plan of one block for all numbers of a run comes beside what the first run took: without it a compiled size keeps half as much, and is as fast.
    enableMemPattern: device !== 'cpu',
    logSeverityLevel: 4, // what goes wrong comes back as an error
    // Threads that wait spin for 50 us, which bridges the gaps between operators (3 to 6 % of a step with two threads). Longer gains
    // nothing more, and on a busy machine it makes two threads slower than one.
    extra: {
      // It makes zeros that are padded before a MaxPool its own padding, which no maximum sees (1.30): files of others have them.
      optimization: { disable_specified_optimizers: 'Pad_Fusion' },
      session: {
        intra_op: { allow_spinning: '1', spin_duration_us: '50' },
        inter_op: { allow_spinning: '0' },
        force_spinning_stop: '1',
      },
    },
  });
}
