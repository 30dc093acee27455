import type { InferenceSession } from 'onnxruntime-node';
import { EngineError } from '../errors.ts';
import type { ImportedInput } from '../imported.ts';
import { float32, type NdArray } from '../ndarray.ts';

/** An ONNX file that ONNX Runtime runs as it is: every operator that it knows, and no gradients. */
export interface OnnxFile {
  readonly inputs: readonly ImportedInput[];
  /** Outputs that are floating-point tensors. */
  readonly outputs: readonly string[];
  /** @returns the outputs that are asked for, by name. @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says */
  readonly run: (
    inputs: Readonly<Record<string, NdArray>>,
    outputs: readonly string[],
  ) => Promise<Record<string, NdArray>>;
  readonly release: () => Promise<void>;
}

/** Opens a file in ONNX Runtime, on the processor. @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says */
export async function openOnnxFile(bytes: Uint8Array, { threads = 1 } = {}): Promise<OnnxFile> {
  try {
    const { createSession } = await import('../onnx/session.ts');
    await import('../onnx/no-telemetry.ts');
    const { Tensor } = await import('onnxruntime-node');
    const session = await createSession(bytes, { threads, device: 'cpu' });
    return {
      inputs: session.inputMetadata.map(inputOf),
      outputs: session.outputMetadata.filter((output) => output.isTensor && output.type === 'float32').map(nameOf),
      run: async (inputs, outputs) => {
        const feeds = Object.entries(inputs).map(([name, { dtype, data, shape }]) => [
          name,
          new Tensor(dtype, data, shape),
        ]);
        const results = await session.run(Object.fromEntries(feeds), [...outputs]).catch(failed);
        return Object.fromEntries(
          Object.entries(results).map(([name, { data, dims }]) => [
            name,
            float32(Float32Array.from(data as Float32Array), dims),
          ]),
        );
      },
      release: () => session.release(),
    };
  } catch (cause) {
    return failed(cause);
  }
}

/** Runs an ONNX file once: what an import is checked against. @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says */
export async function runOnnxFile(
  bytes: Uint8Array,
  inputs: Readonly<Record<string, NdArray>>,
  outputs: readonly string[],
): Promise<Record<string, NdArray>> {
  const file = await openOnnxFile(bytes);
  try {
    return await file.run(inputs, outputs);
  } finally {
    await file.release();
  }
}

function inputOf(input: InferenceSession.ValueMetadata): ImportedInput {
  const { name } = input;
  if (!input.isTensor || !['float32', 'int32', 'bool'].includes(input.type))
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `the input '${name}' takes ${input.isTensor ? input.type : 'no tensor'}; only floating-point images are supported`,
    );
  return { name, dtype: input.type as ImportedInput['dtype'], shape: input.shape };
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}

function failed(cause: unknown): never {
  if (cause instanceof EngineError) throw cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  throw new EngineError('RUNTIME_FAILURE', `ONNX Runtime does not run the file: ${message}`, { cause });
}
