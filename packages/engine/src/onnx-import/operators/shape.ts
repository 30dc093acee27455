import * as tf from '@tensorflow/tfjs-core';
import { CONSTANT_LIMIT } from '../../graph.ts';
import { sizeOf } from '../../ndarray.ts';
import { type Call, laid, normalAxis } from '../call.ts';
import type { OperatorTable } from '../operator.ts';
import {
  axisOf,
  imagesOf,
  imagesValue,
  inTensorOrder,
  knownValue,
  plainOf,
  plainValue,
  transposed,
  type Value,
  valueLike,
} from '../value.ts';

/** A list of axes without negative ones. */
function normalAxes(call: Call, axes: readonly number[], rank: number): number[] {
  return axes.map((axis) => normalAxis(call, axis, rank));
}

function reshaped(value: Value, shape: number[]): Value {
  return plainValue(tf.reshape(plainOf(value), shape));
}

/** The target of Reshape: 0 copies a dimension, -1 is what is left. */
function targetShape(call: Call, from: readonly number[]): number[] {
  const given = call.numbersOf('shape', 1) ?? [];
  const keepsZeros = call.integer('allowzero', 0) === 1;
  const target = given.map((dimension, i) => (dimension === 0 && !keepsZeros ? (from[i] ?? 0) : dimension));
  if (target.filter((dimension) => dimension === -1).length > 1 || target.some((dimension) => dimension < -1))
    throw call.error('MALFORMED_FILE', `its target shape is [${given}]`);
  const rest = sizeOf(target.filter((dimension) => dimension !== -1));
  const full = target.map((dimension) => (dimension === -1 ? sizeOf(from) / rest : dimension));
  if (sizeOf(full) !== sizeOf(from) || !full.every(Number.isInteger))
    throw call.error(
      'SHAPE_MISMATCH',
      `[${from}] cannot be reshaped to [${given}]: was the model exported with a fixed batch size? Export it with a dynamic one`,
    );
  return full;
}

function flatten(call: Call): Value {
  const value = call.value(0);
  const rank = value.shape.length;
  const axis = normalAxis(call, call.integer('axis', 1), rank, rank);
  return reshaped(value, [sizeOf(value.shape.slice(0, axis)), sizeOf(value.shape.slice(axis))]);
}

function squeeze(call: Call): Value {
  const value = call.value(0);
  const given = call.numbersOf('axes', 1);
  const axes = given && normalAxes(call, given, value.shape.length);
  const keeps = (dimension: number, i: number) => (axes ? !axes.includes(i) : dimension !== 1);
  return reshaped(value, value.shape.filter(keeps));
}

function unsqueeze(call: Call): Value {
  const value = call.value(0);
  const given = call.numbersOf('axes', 1) ?? [];
  const axes = normalAxes(call, given, value.shape.length + given.length);
  const rest = [...value.shape];
  const shape = Array.from({ length: value.shape.length + given.length }, (_, i) =>
    axes.includes(i) ? 1 : (rest.shift() ?? 1),
  );
  return reshaped(value, shape);
}

function concat(call: Call): Value {
  const values = Array.from({ length: call.count }, (_, i) => call.value(i));
  const leader = values.find(({ layout }) => layout === 'images') ?? call.value(0);
  const parts = values.map((value) => (leader.layout === 'images' ? imagesOf(value) : plainOf(value)));
  return valueLike(leader, tf.concat(parts, axisOf(leader, call.integer('axis', 0))));
}

/** Sizes of equal parts, of which the last may be smaller. */
function equalParts(length: number, count: number): number[] {
  const size = Math.ceil(length / count);
  return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(size, length - i * size)));
}

function split(call: Call): Value[] {
  const { value, tensor } = laid(call, 0);
  const axis = axisOf(value, call.integer('axis', 0));
  const length = tensor.shape[axis] ?? 0;
  const sizes = call.numbersOf('split', 1) ?? equalParts(length, call.node.outputs.length);
  if (sizes.reduce((sum, size) => sum + size, 0) !== length)
    throw call.error('SHAPE_MISMATCH', `parts of [${sizes}] are not the ${length} that there are`);
  return tf.split(tensor, sizes, axis).map((part) => valueLike(value, part));
}

/** The places that a slice takes from an axis: Python's rules. */
function slicePlaces(length: number, start: number, end: number, step: number): number[] {
  const wrap = (place: number) => (place < 0 ? place + length : place);
  const limit = (place: number, low: number, high: number) => Math.min(high, Math.max(low, place));
  const [first, last] =
    step > 0
      ? [limit(wrap(start), 0, length), limit(wrap(end), 0, length)]
      : [limit(wrap(start), 0, length - 1), limit(wrap(end), -1, length - 1)];
  const count = Math.max(0, Math.ceil((last - first) / step));
  return Array.from({ length: Number.isFinite(count) ? count : 0 }, (_, i) => first + i * step);
}

/** Rows of an axis, picked by number. */
function pick(tensor: tf.Tensor, places: readonly number[], axis: number): tf.Tensor {
  const first = places[0] ?? 0;
  const isRun = places.every((place, i) => place === first + i);
  if (!isRun) return tf.gather(tensor, tf.tensor1d([...places], 'int32'), axis);
  const begin = tensor.shape.map((_, i) => (i === axis ? first : 0));
  return tf.slice(
    tensor,
    begin,
    tensor.shape.map((dimension, i) => (i === axis ? places.length : dimension)),
  );
}

function slice(call: Call): Value {
  const { value, tensor } = laid(call, 0);
  const starts = call.numbersOf('starts', 1) ?? [];
  const ends = call.numbersOf('ends', 2) ?? [];
  const axes = call.numbersOf('axes', 3) ?? starts.map((_, i) => i);
  const steps = call.has(4) ? call.numbers(4) : starts.map(() => 1);
  const result = axes.reduce((sliced: tf.Tensor, axis, i) => {
    const place = axisOf(value, axis);
    const step = steps[i] ?? 1;
    if (step === 0) throw call.error('MALFORMED_FILE', 'a step of 0');
    return pick(sliced, slicePlaces(sliced.shape[place] ?? 0, starts[i] ?? 0, ends[i] ?? 0, step), place);
  }, tensor);
  return valueLike(value, result);
}

function gather(call: Call): Value {
  const { value, tensor } = laid(call, 0);
  const indices = call.value(1);
  const axis = axisOf(value, call.integer('axis', 0));
  const length = tensor.shape[axis] ?? 0;
  const known = indices.known?.data;
  if (known) {
    const places = Array.from(known, (index) => (index < 0 ? index + length : index));
    if (places.some((place) => place < 0 || place >= length))
      throw call.error('SHAPE_MISMATCH', `an index is outside the ${length} places of axis ${call.integer('axis', 0)}`);
    const picked = pick(tensor, places, axis);
    if (indices.shape.length === 1) return valueLike(value, picked);
    const plain = plainOf(valueLike(value, picked));
    const normal = axisOf(plainValue(plain), call.integer('axis', 0));
    return plainValue(
      tf.reshape(plain, [...plain.shape.slice(0, normal), ...indices.shape, ...plain.shape.slice(normal + 1)]),
    );
  }
  const plain = plainOf(value);
  const place = tf.cast(call.plain(1), 'int32');
  const wrapped = tf.where(tf.less(place, tf.scalar(0, 'int32')), tf.add(place, tf.scalar(length, 'int32')), place);
  return plainValue(tf.gather(plain, wrapped as tf.Tensor1D, axisOf(plainValue(plain), call.integer('axis', 0))));
}

function expand(call: Call): Value {
  const value = call.value(0);
  const target = call.numbers(1);
  const rank = Math.max(target.length, value.shape.length);
  const at = (shape: readonly number[], i: number) => shape[i - (rank - shape.length)] ?? 1;
  const shape = Array.from({ length: rank }, (_, i) => (at(target, i) === 1 ? at(value.shape, i) : at(target, i)));
  checkSize(call, value, shape);
  const x = plainOf(value);
  return plainValue(tf.broadcastTo(tf.reshape(x, [...Array<number>(rank - x.rank).fill(1), ...x.shape]), shape));
}

/** A malformed file must not make the importer allocate: what is folded while reading is small, and so is a traced value. */
function checkSize(call: Call, value: Value | undefined, shape: readonly number[]): void {
  const limit = value?.tensor ? 2 ** 31 : CONSTANT_LIMIT;
  if (shape.every((dimension) => Number.isInteger(dimension) && dimension >= 0) && sizeOf(shape) <= limit) return;
  throw call.error('UNSUPPORTED_OPERATION', `it would make a value of shape [${shape}], beyond ${limit} numbers`);
}

function tile(call: Call): Value {
  const { value, tensor } = laid(call, 0);
  const repeats = call.numbers(1);
  checkSize(
    call,
    value,
    value.shape.map((dimension, i) => dimension * (repeats[i] ?? 1)),
  );
  return valueLike(value, tf.tile(tensor, inTensorOrder(value, repeats)));
}

/** Most places that Pad adds to an end of an axis. */
const WIDEST = 65_536;

/** Where each place of a padded axis comes from. */
const PADDED_PLACES: Readonly<Record<string, (place: number, length: number) => number>> = {
  edge: (place, length) => Math.min(length - 1, Math.max(0, place)),
  reflect: (place, length) => {
    const period = Math.max(1, 2 * (length - 1));
    const inside = ((place % period) + period) % period;
    return inside < length ? inside : period - inside;
  },
  wrap: (place, length) => ((place % length) + length) % length,
};

function pad(call: Call): Value {
  const { value, tensor } = laid(call, 0);
  const rank = value.shape.length;
  const given = call.numbersOf('pads', 1) ?? [];
  const axes = call.has(3) ? normalAxes(call, call.numbers(3), rank) : [...value.shape.keys()];
  if (given.some((width) => Math.abs(width) > WIDEST))
    throw call.error('UNSUPPORTED_OPERATION', `its pads are [${given}]; at most ${WIDEST} are supported`);
  const widths = value.shape.map((_, axis): [number, number] => {
    const i = axes.indexOf(axis);
    return i < 0 ? [0, 0] : [given[i] ?? 0, given[i + axes.length] ?? 0];
  });
  checkSize(
    call,
    value,
    value.shape.map((dimension, i) => dimension + (widths[i]?.[0] ?? 0) + (widths[i]?.[1] ?? 0)),
  );
  const paddings = inTensorOrder(value, widths);
  const mode = call.text('mode', 'constant') || 'constant';
  const cut = cropped(tensor, paddings);
  const outside = paddings.map(([before, after]): [number, number] => [Math.max(0, before), Math.max(0, after)]);
  if (outside.every(([before, after]) => before === 0 && after === 0)) return valueLike(value, cut);
  if (mode === 'constant') {
    const fill = call.has(2) ? (call.numbers(2)[0] ?? 0) : call.float('value', 0);
    return valueLike(value, tf.pad(cut, outside, fill));
  }
  const place = PADDED_PLACES[mode];
  if (!place)
    throw call.error('UNSUPPORTED_OPERATION', `its mode is '${mode}'; there are constant, edge, reflect, wrap`);
  const result = outside.reduce((padded: tf.Tensor, [before, after], axis) => {
    const length = padded.shape[axis] ?? 0;
    if (before === 0 && after === 0) return padded;
    return pick(
      padded,
      Array.from({ length: before + length + after }, (_, i) => place(i - before, length)),
      axis,
    );
  }, cut);
  return valueLike(value, result);
}

/** A negative padding cuts off. */
function cropped(tensor: tf.Tensor, paddings: readonly (readonly [number, number])[]): tf.Tensor {
  const begin = paddings.map(([before]) => Math.max(0, -before));
  const size = tensor.shape.map((dimension, i) => dimension - (begin[i] ?? 0) - Math.max(0, -(paddings[i]?.[1] ?? 0)));
  return size.every((dimension, i) => dimension === tensor.shape[i]) ? tensor : tf.slice(tensor, begin, size);
}

/** Channels to pixels: [N, b*b*C, H, W] -> [N, C, b*H, b*W]. */
function depthToSpace(call: Call): Value {
  const x = call.images(0);
  const b = call.integer('blocksize', 1);
  const [n, height, width, channels] = x.shape;
  const rest = channels / (b * b);
  const isColumnFirst = (call.text('mode', 'DCR') || 'DCR') === 'DCR';
  const parts = tf.reshape(x, [n, height, width, ...(isColumnFirst ? [b, b, rest] : [rest, b, b])]);
  const order = isColumnFirst ? [0, 1, 3, 2, 4, 5] : [0, 1, 4, 2, 5, 3];
  return imagesValue(tf.reshape(tf.transpose(parts, order), [n, height * b, width * b, rest]));
}

/** Pixels to channels: [N, C, b*H, b*W] -> [N, b*b*C, H, W]. */
function spaceToDepth(call: Call): Value {
  const x = call.images(0);
  const b = call.integer('blocksize', 1);
  const [n, height, width, channels] = x.shape;
  const parts = tf.reshape(x, [n, height / b, b, width / b, b, channels]);
  return imagesValue(tf.reshape(tf.transpose(parts, [0, 1, 3, 2, 4, 5]), [n, height / b, width / b, b * b * channels]));
}

/** Upper or lower triangle of the last two axes. */
function triangle(call: Call): Value {
  const x = call.plain(0);
  const [rows = 1, columns = 1] = x.shape.slice(-2);
  checkSize(call, undefined, [rows, columns]);
  const k = call.has(1) ? (call.numbers(1)[0] ?? 0) : 0;
  const isUpper = call.integer('upper', 1) === 1;
  const mask = Array.from({ length: rows * columns }, (_, i) => {
    const distance = (i % columns) - Math.floor(i / columns) - k;
    return Number(isUpper ? distance >= 0 : distance <= 0);
  });
  const kept = tf.tensor(mask, [rows, columns], 'bool');
  // chosen, not multiplied: what is left out may be infinite
  return plainValue(x.dtype === 'bool' ? tf.logicalAnd(x, kept) : tf.where(kept, x, tf.zerosLike(x)));
}

function shapeOf(call: Call): Value {
  const { shape } = call.value(0);
  const part = shape.slice(call.integer('start', 0), call.hasAttribute('end') ? call.integer('end', 0) : undefined);
  return knownValue({ shape: [part.length], dtype: 'int32', data: part });
}

/** Operators that move numbers, and those that speak of shapes. */
export const shapeOperators = {
  Concat: { evaluate: concat },
  DepthToSpace: { evaluate: depthToSpace },
  Dropout: {
    reads: [1, 2],
    evaluate: (call) => {
      if (call.has(2) && call.numbers(2)[0])
        throw call.error('UNSUPPORTED_OPERATION', 'training mode: export the model after model.eval()');
      return call.value(0);
    },
  },
  Expand: { reads: [1], evaluate: expand },
  Flatten: { evaluate: flatten },
  Gather: { evaluate: gather },
  Pad: { reads: [1, 2, 3], evaluate: pad },
  Reshape: { reads: [1], evaluate: (call) => reshaped(call.value(0), targetShape(call, call.value(0).shape)) },
  Shape: { evaluate: shapeOf },
  Size: { evaluate: (call) => knownValue({ shape: [], dtype: 'int32', data: [sizeOf(call.value(0).shape)] }) },
  Slice: { reads: [1, 2, 3, 4], evaluate: slice },
  SpaceToDepth: { evaluate: spaceToDepth },
  Split: { reads: [1], evaluate: split },
  Squeeze: { reads: [1], evaluate: squeeze },
  Tile: { reads: [1], evaluate: tile },
  Transpose: {
    evaluate: (call) => {
      const value = call.value(0);
      const perm = call.integers('perm') ?? value.shape.map((_, i) => value.shape.length - 1 - i);
      if (perm.toSorted((a, b) => a - b).some((axis, i) => axis !== i) || perm.length !== value.shape.length)
        throw call.error('MALFORMED_FILE', `perm [${perm}] of a value of shape [${value.shape}]`);
      return transposed(value, perm);
    },
  },
  Trilu: { reads: [1], evaluate: triangle },
  Unsqueeze: { reads: [1], evaluate: unsqueeze },
} satisfies OperatorTable;
