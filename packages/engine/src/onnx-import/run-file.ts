import { EngineError } from '../errors.ts';
import { float32, type NdArray } from '../ndarray.ts';

/**
 * Runs an ONNX file as it is, in ONNX Runtime: what an import is checked against.
 * @returns the floating-point outputs that are asked for, by name
 * @throws EngineError RUNTIME_FAILURE with what ONNX Runtime says
 */
export async function runOnnxFile(
  bytes: Uint8Array,
  inputs: Readonly<Record<string, NdArray>>,
  outputs: readonly string[],
): Promise<Record<string, NdArray>> {
  try {
    const { createSession } = await import('../onnx/session.ts');
    const { Tensor } = await import('onnxruntime-node');
    const session = await createSession(bytes, { threads: 1, device: 'cpu' });
    try {
      const feeds = Object.entries(inputs).map(([name, { dtype, data, shape }]) => [
        name,
        new Tensor(dtype, data, shape),
      ]);
      const results = await session.run(Object.fromEntries(feeds), [...outputs]);
      return Object.fromEntries(
        Object.entries(results).map(([name, { data, dims }]) => [
          name,
          float32(Float32Array.from(data as Float32Array), dims),
        ]),
      );
    } finally {
      await session.release();
    }
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError('RUNTIME_FAILURE', `ONNX Runtime does not run the file: ${message}`, { cause });
  }
}
