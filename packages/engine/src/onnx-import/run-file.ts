import type { InferenceSession, OnnxValue, TensorConstructor } from 'onnxruntime-node';
import { EngineError } from '../errors.ts';
import type { ImportedInput } from '../imported.ts';
import { float32, type NdArray } from '../ndarray.ts';
import { bitsOfHalf, halfOf } from './tensor.ts';

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

/** The types of ONNX Runtime that stand for our floating-point numbers. */
const FLOATS: readonly string[] = ['float32', 'float64', 'float16'];

function nearestByte(value: number): number {
  return Math.min(255, Math.max(0, Math.round(value)));
}

/** Numbers as the file takes them. Half precision goes as bits: onnxruntime-node does not read JavaScript's arrays of it. */
function tensorOf(Tensor: TensorConstructor, { dtype, data, shape }: NdArray, type: string | undefined) {
  if (type === 'float16')
    return Object.assign(new Tensor('uint16', Uint16Array.from(data, bitsOfHalf), shape), { type });
  if (type === 'uint8') return new Tensor(type, Uint8Array.from(data, nearestByte), shape);
  return type === 'float64' ? new Tensor(type, Float64Array.from(data), shape) : new Tensor(dtype, data, shape);
}

/** What comes back, in single precision; half precision is bits where JavaScript has no array of it. */
function numbersOf({ type, data }: OnnxValue): Float32Array {
  return Float32Array.from(
    data as ArrayLike<number>,
    type === 'float16' && data instanceof Uint16Array ? halfOf : Number,
  );
}

/** Opens a file in ONNX Runtime, on the processor. @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says */
export async function openOnnxFile(bytes: Uint8Array, { threads = 1 } = {}): Promise<OnnxFile> {
  try {
    const { createSession } = await import('../onnx/session.ts');
    await import('../onnx/no-telemetry.ts');
    const { Tensor } = await import('onnxruntime-node');
    const session = await createSession(bytes, { threads, device: 'cpu' });
    const types = new Map(session.inputMetadata.map((input) => [input.name, input.isTensor ? input.type : undefined]));
    return {
      inputs: session.inputMetadata.map(inputOf),
      outputs: session.outputMetadata.filter((output) => output.isTensor && FLOATS.includes(output.type)).map(nameOf),
      run: async (inputs, outputs) => {
        const feeds = Object.entries(inputs).map(([name, array]) => [name, tensorOf(Tensor, array, types.get(name))]);
        const results = await session.run(Object.fromEntries(feeds), [...outputs]).catch(failed);
        return Object.fromEntries(
          Object.entries(results).map(([name, result]) => [name, float32(numbersOf(result), result.dims)]),
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
  if (input.isTensor && input.type === 'uint8') return { name, dtype: 'float32', shape: input.shape, isBytes: true };
  const dtype = input.isTensor && FLOATS.includes(input.type) ? 'float32' : input.isTensor && input.type;
  if (!input.isTensor || (dtype !== 'float32' && dtype !== 'int32' && dtype !== 'bool'))
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `the input '${name}' takes ${input.isTensor ? input.type : 'no tensor'}; only images of floating-point numbers or bytes are supported`,
    );
  return { name, dtype, shape: input.shape };
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}

function failed(cause: unknown): never {
  if (cause instanceof EngineError) throw cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  throw new EngineError('RUNTIME_FAILURE', `ONNX Runtime does not run the file: ${message}`, { cause });
}
