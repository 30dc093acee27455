import { EngineError } from '../errors.ts';
import { type DType, sizeOf } from '../ndarray.ts';
import type { FileTensor } from './decode.ts';
import { malformed } from './wire.ts';

/** Numbers that are known while the model is read; 64-bit integers are JavaScript numbers. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: ArrayLike<number>;
}

/** Reads a file of numbers that lies beside the model, by the name that the model gives; `undefined`: there is none. */
export type ReadExternal = (location: string) => Uint8Array | undefined;

interface ElementType {
  readonly name: string;
  readonly dtype: DType;
  readonly bytes: number;
  readonly read: (view: DataView, at: number) => number;
}

/** TensorProto.DataType: what is read, and as what. */
const ELEMENT_TYPES: Readonly<Record<number, ElementType>> = {
  1: { name: 'float', dtype: 'float32', bytes: 4, read: (view, at) => view.getFloat32(at, true) },
  2: { name: 'uint8', dtype: 'int32', bytes: 1, read: (view, at) => view.getUint8(at) },
  3: { name: 'int8', dtype: 'int32', bytes: 1, read: (view, at) => view.getInt8(at) },
  4: { name: 'uint16', dtype: 'int32', bytes: 2, read: (view, at) => view.getUint16(at, true) },
  5: { name: 'int16', dtype: 'int32', bytes: 2, read: (view, at) => view.getInt16(at, true) },
  6: { name: 'int32', dtype: 'int32', bytes: 4, read: (view, at) => view.getInt32(at, true) },
  7: { name: 'int64', dtype: 'int32', bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  9: { name: 'bool', dtype: 'bool', bytes: 1, read: (view, at) => Number(view.getUint8(at) !== 0) },
  10: { name: 'float16', dtype: 'float32', bytes: 2, read: (view, at) => halfOf(view.getUint16(at, true)) },
  11: { name: 'double', dtype: 'float32', bytes: 8, read: (view, at) => view.getFloat64(at, true) },
  16: { name: 'bfloat16', dtype: 'float32', bytes: 2, read: (view, at) => bfloatOf(view.getUint16(at, true)) },
};

const HALF = 10;
const BFLOAT = 16;

/** The engine's dtype for a TensorProto.DataType; `undefined` if there is none (strings, complex numbers, 4-bit integers). */
export function dtypeOf(elementType: number): DType | undefined {
  return ELEMENT_TYPES[elementType]?.dtype;
}

/** @throws EngineError MALFORMED_FILE if shape and numbers do not agree, or if the numbers lie in a file that is not given */
export function readTensor(tensor: FileTensor, readExternal?: ReadExternal): Numbers {
  const { name, shape, elementType } = tensor;
  const type = ELEMENT_TYPES[elementType];
  if (!type)
    throw new EngineError(
      'UNSUPPORTED_OPERATION',
      `the tensor '${name}' has the ONNX element type ${elementType}; there are ${Object.values(ELEMENT_TYPES)
        .map((known) => known.name)
        .join(', ')}`,
    );
  const size = sizeOf(shape);
  const raw = tensor.external.size > 0 ? externalBytes(tensor, readExternal) : tensor.raw;
  if (raw) return { shape, dtype: type.dtype, data: fromBytes(raw, size, type, name) };
  if (tensor.numbers.length !== size)
    throw malformed(`the tensor '${name}' has ${tensor.numbers.length} numbers, which do not fill [${shape}]`);
  return { shape, dtype: type.dtype, data: fromList(tensor.numbers, elementType) };
}

function fromList(list: readonly number[], elementType: number): ArrayLike<number> {
  if (elementType === HALF) return Float32Array.from(list, halfOf);
  if (elementType === BFLOAT) return Float32Array.from(list, bfloatOf);
  return ELEMENT_TYPES[elementType]?.dtype === 'float32' ? Float32Array.from(list) : list;
}

function fromBytes(raw: Uint8Array, size: number, { bytes, read, dtype }: ElementType, name: string) {
  if (raw.length !== size * bytes)
    throw malformed(`the tensor '${name}' has ${raw.length} bytes; its shape needs ${size * bytes}`);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const data = dtype === 'float32' ? new Float32Array(size) : new Array<number>(size);
  for (let i = 0; i < size; i++) data[i] = read(view, i * bytes);
  return data;
}

/** The bytes of a tensor whose numbers lie beside the model. */
export function externalBytes({ name, external }: FileTensor, readExternal: ReadExternal | undefined): Uint8Array {
  const location = external.get('location') ?? '';
  const file = readExternal?.(location);
  if (!file)
    throw new EngineError(
      'MALFORMED_FILE',
      `the numbers of '${name}' lie in the file '${location}' beside the model, which is not at hand: give it under that name, or export the model into one file (torch.onnx.export(..., external_data=False))`,
    );
  const offset = Number(external.get('offset') ?? 0);
  const length = Number(external.get('length') ?? file.length - offset);
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0)
    throw malformed(`the place of '${name}' in '${location}' is not a number`);
  if (offset + length > file.length)
    throw malformed(`'${name}' ends at byte ${offset + length} of '${location}', which has ${file.length}`);
  return file.subarray(offset, offset + length);
}

/** IEEE 754 binary16. */
export function halfOf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = (bits & 0x3ff) / 1024;
  if (exponent === 0) return sign * fraction * 2 ** -14;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction) * 2 ** (exponent - 15);
}

/** The bits of the nearest binary16, of the even one if there are two. */
export function bitsOfHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size)));
  const steps = size / 2 ** (exponent - 10);
  const below = Math.floor(steps);
  const isUp = steps - below > 0.5 || (steps - below === 0.5 && below % 2 === 1);
  // a step carries into the exponent where the fraction is full
  return sign | (((exponent + 14) << 10) + below + Number(isUp));
}

/** The upper half of a float32. */
function bfloatOf(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits * 2 ** 16);
  return view.getFloat32(0);
}
