import { EngineError } from './errors.ts';

export type DType = 'float32' | 'int32' | 'bool';

/** Row-major numbers outside a traced function: what goes into a compiled function and what comes out of it. */
export interface NdArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Float32Array for float32, Int32Array for int32, Uint8Array (0 or 1) for bool; as many numbers as the shape says. */
  readonly data: Float32Array | Int32Array | Uint8Array;
}

/** Shape and dtype of one input of a compiled function. */
export interface TensorSpec {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** A value or a record of trees; the inputs and outputs of traced functions are trees of tensors. */
export type Tree<T> = T | { readonly [name: string]: Tree<T> };

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/** A float32 array of the given shape. @throws EngineError if the numbers do not fill the shape. */
export function float32(data: Float32Array | readonly number[], shape: readonly number[]): NdArray {
  return checked({ dtype: 'float32', shape, data: data instanceof Float32Array ? data : Float32Array.from(data) });
}

/** An int32 array of the given shape. @throws EngineError if the numbers do not fill the shape. */
export function int32(data: Int32Array | readonly number[], shape: readonly number[]): NdArray {
  return checked({ dtype: 'int32', shape, data: data instanceof Int32Array ? data : Int32Array.from(data) });
}

export function scalar(value: number): NdArray {
  return float32([value], []);
}

export function zeros(shape: readonly number[]): NdArray {
  return float32(new Float32Array(sizeOf(shape)), shape);
}

/** The spec that an array satisfies. */
export function specOf(array: NdArray): TensorSpec {
  return { shape: array.shape, dtype: array.dtype };
}

/** Spec of a float32 tensor. */
export function spec(...shape: number[]): TensorSpec {
  return { shape, dtype: 'float32' };
}

function checked(array: NdArray): NdArray {
  if (array.data.length !== sizeOf(array.shape))
    throw new EngineError(
      'SHAPE_MISMATCH',
      `${array.data.length} numbers do not fill the shape [${array.shape}] (${sizeOf(array.shape)} numbers)`,
    );
  return array;
}
