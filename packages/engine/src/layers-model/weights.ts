import { float32, type NdArray, sizeOf } from '../ndarray.ts';
import { halfOf } from '../onnx-import/tensor.ts';
import { type Json, list, malformed, record, text } from './json.ts';

/** The weight files by name. */
export type WeightFiles = Readonly<Record<string, Uint8Array>>;

const READERS: Readonly<Record<string, { bytes: number; read: (view: DataView, at: number) => number }>> = {
  float32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  float16: { bytes: 2, read: (view, at) => halfOf(view.getUint16(at, true)) },
  uint16: { bytes: 2, read: (view, at) => view.getUint16(at, true) },
  uint8: { bytes: 1, read: (view, at) => view.getUint8(at) },
};

/** The weights of all groups of a manifest; the files of a group are one run of bytes. Quantised weights are written out. */
export function readWeights(manifest: readonly Json[], files: WeightFiles): Record<string, NdArray> {
  const weights = manifest.flatMap((entry) => {
    const group = record(entry, 'a group of weights');
    const bytes = joined(list(group.paths, 'paths').map((path) => fileOf(files, text(path, 'a path'))));
    let at = 0;
    return list(group.weights, 'weights').map((weight): [string, NdArray] => {
      const { name, array, length } = readWeight(record(weight, 'a weight'), bytes.subarray(at));
      at += length;
      return [name, array];
    });
  });
  return Object.fromEntries(weights);
}

function readWeight(entry: Record<string, Json>, bytes: Uint8Array) {
  const name = text(entry.name, 'name of a weight');
  const shape = list(entry.shape, `shape of '${name}'`) as number[];
  if (shape.length > 8 || shape.some((dimension) => !Number.isSafeInteger(dimension) || dimension < 0))
    throw malformed(`the weight '${name}' has the shape ${JSON.stringify(shape).slice(0, 100)}`);
  const { dtype, scale, min } = storedAs(name, entry);
  const reader = Object.hasOwn(READERS, dtype) ? READERS[dtype] : undefined;
  if (!reader || entry.dtype !== 'float32')
    throw malformed(`the weight '${name}' is ${String(entry.dtype)} stored as ${dtype}; only float32, also quantised`);
  const size = sizeOf(shape);
  const length = size * reader.bytes;
  if (length > bytes.length) throw malformed(`'${name}' needs ${length} bytes; ${bytes.length} are left of its files`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const data = Float32Array.from({ length: size }, (_, i) => reader.read(view, i * reader.bytes) * scale + min);
  return { name, length, array: float32(data, shape) };
}

function storedAs(name: string, entry: Record<string, Json>): { dtype: string; scale: number; min: number } {
  if (entry.quantization === undefined) return { dtype: String(entry.dtype), scale: 1, min: 0 };
  const { dtype, scale = 1, min = 0 } = record(entry.quantization, `quantization of '${name}'`);
  return { dtype: text(dtype, `quantization of '${name}'`), scale: Number(scale), min: Number(min) };
}

function fileOf(files: WeightFiles, path: string): Uint8Array {
  const file = Object.hasOwn(files, path) ? files[path] : undefined;
  if (file) return file;
  throw malformed(`the weight file '${path}' is missing; there are ${Object.keys(files).join(', ') || 'none'}`);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1 && parts[0]) return parts[0];
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
