import * as tf from '@tensorflow/tfjs-core';
import { EngineError } from '../errors.ts';
import type { DType } from '../ndarray.ts';
import type { Numbers } from './tensor.ts';

/**
 * A value of an ONNX model while it is evaluated. ONNX images are [N, C, H, W], the engine's are [N, H, W, C]: a value keeps the order
 * in which it was made until an operator needs the other one, so that no transposition is left inside a convolutional network.
 */
export interface Value {
  /** In ONNX' order of axes. */
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** The numbers, if they do not depend on inputs (in ONNX' order). */
  readonly known?: Numbers;
  /** What is traced; a value that is known may have none. */
  readonly tensor?: tf.Tensor;
  /** `images`: the tensor is [N, H, W, C] while the shape says [N, C, H, W]. */
  readonly layout: 'plain' | 'images';
}

/** Where the axes N, C, H, W of ONNX lie in images of the engine. */
const IMAGE_AXES = [0, 3, 1, 2] as const;
const TO_IMAGES: number[] = [0, 2, 3, 1];
const FROM_IMAGES: number[] = [0, 3, 1, 2];

export function plainValue(tensor: tf.Tensor): Value {
  return { shape: tensor.shape, dtype: tensor.dtype as DType, tensor, layout: 'plain' };
}

/** A value whose tensor is [N, H, W, C]. */
export function imagesValue(tensor: tf.Tensor): Value {
  const shape = FROM_IMAGES.map((axis) => tensor.shape[axis] ?? 1);
  return { shape, dtype: tensor.dtype as DType, tensor, layout: 'images' };
}

export function knownValue(known: Numbers): Value {
  return { shape: known.shape, dtype: known.dtype, known, layout: 'plain' };
}

/** A value of the layout that another value has. */
export function valueLike({ layout }: Value, tensor: tf.Tensor): Value {
  return layout === 'images' ? imagesValue(tensor) : plainValue(tensor);
}

/** Whether a value is made of known numbers alone: what is computed from such values is known too. */
export function isKnown(value: Value): value is Value & { readonly known: Numbers } {
  return value.known !== undefined && value.tensor === undefined;
}

const INT32 = 2 ** 31;

/** The value as it lies: [N, H, W, C] for images. */
export function tensorOf({ tensor, known }: Value): tf.Tensor {
  if (tensor) return tensor;
  if (!known) throw new EngineError('INVALID_GRAPH', 'a value of an ONNX model has neither numbers nor a tensor');
  const { data, dtype, shape } = known;
  const numbers = dtype === 'float32' ? Float32Array.from(data) : Int32Array.from(data, clampToInt32);
  return tf.tensor(dtype === 'bool' ? Uint8Array.from(data) : numbers, [...shape], dtype);
}

/** ONNX' "to the end" is the largest int64. */
function clampToInt32(value: number): number {
  return Math.min(INT32 - 1, Math.max(-INT32, value));
}

/** The value in ONNX' order of axes. */
export function plainOf(value: Value): tf.Tensor {
  const tensor = tensorOf(value);
  return value.layout === 'images' ? moved(tensor, FROM_IMAGES) : tensor;
}

/** A value of four dimensions as [N, H, W, C]. */
export function imagesOf(value: Value): tf.Tensor4D {
  const tensor = tensorOf(value);
  return (value.layout === 'images' ? tensor : moved(tensor, TO_IMAGES)) as tf.Tensor4D;
}

/** Transposes; with one channel or one pixel the numbers lie the same way in both orders. */
function moved(tensor: tf.Tensor, order: number[]): tf.Tensor {
  const shape = order.map((axis) => tensor.shape[axis] ?? 1);
  const axes = order.filter((axis) => tensor.shape[axis] !== 1);
  return axes.every((axis, i) => i === 0 || (axes[i - 1] ?? 0) < axis)
    ? tf.reshape(tensor, shape)
    : tf.transpose(tensor, order);
}

/** Where an axis of ONNX, counted from the end if negative, lies in the tensor of the value. */
export function axisOf(value: Value, axis: number): number {
  const rank = value.shape.length;
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank)
    throw new EngineError('SHAPE_MISMATCH', `axis ${axis} of a value of shape [${value.shape}]`);
  return value.layout === 'images' ? (IMAGE_AXES[normal] ?? normal) : normal;
}

/** One entry for each axis of ONNX, in the order of the tensor's axes. */
export function inTensorOrder<T>(value: Value, entries: readonly T[]): T[] {
  return value.layout === 'images' ? TO_IMAGES.flatMap((axis) => entries.slice(axis, axis + 1)) : [...entries];
}

/**
 * Operands of an operator that works element by element, aligned for broadcasting: as images if one of them is, since the others are small
 * (a bias, a scale) or rare.
 */
export function aligned(values: readonly Value[]): { operands: tf.Tensor[]; layout: Value['layout'] } {
  const anyImages = values.some(({ layout }) => layout === 'images');
  if (!anyImages || values.some(({ shape }) => shape.length > 4))
    return { operands: values.map(plainOf), layout: 'plain' };
  const operands = values.map((value) => {
    if (value.layout === 'images') return imagesOf(value);
    const tensor = tensorOf(value);
    if (tensor.size === 1) return tf.reshape(tensor, []);
    return moved(tf.reshape(tensor, [...Array<number>(4 - tensor.rank).fill(1), ...tensor.shape]), TO_IMAGES);
  });
  return { operands, layout: 'images' };
}

/** Transposes; the two orders of image axes change only what the value says of itself. */
export function transposed(value: Value, perm: readonly number[]): Value {
  const order = perm.join();
  if (value.layout === 'images' && order === TO_IMAGES.join()) return plainValue(tensorOf(value));
  if (value.layout === 'plain' && order === FROM_IMAGES.join()) return imagesValue(tensorOf(value));
  return plainValue(tf.transpose(plainOf(value), [...perm]));
}
