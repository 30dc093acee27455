import { type RandomAddress, uniform } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import type { NormName } from './norms.ts';

/** Norms that the square attack has moves for. */
export type SquareNorm = Extract<NormName, 'linf' | 'l2'>;

/** Proposals of the square attack for one image; the runner brings them into the ball and the box. */
interface SquareMoves {
  readonly start: (shape: ImageShape, image: Float32Array, epsilon: number, address: RandomAddress) => Float32Array;
  /** @param share of the image that the square covers. */
  readonly step: (
    shape: ImageShape,
    image: Float32Array,
    points: Float32Array,
    epsilon: number,
    share: number,
    address: RandomAddress,
  ) => Float32Array;
}

export const squareMoves: Readonly<Record<SquareNorm, SquareMoves>> = {
  linf: { start: stripes, step: flatSquare },
  l2: { start: bumps, step: movedBump },
};

/** Vertical stripes of plus or minus epsilon. */
function stripes([, width, channels]: ImageShape, image: Float32Array, epsilon: number, address: RandomAddress) {
  const signs = uniform(address, width * channels);
  return image.map((value, i) => value + epsilon * signOf(signs[i % (width * channels)]));
}

/** A square in which each channel is pushed to one side of the ball. */
function flatSquare(
  shape: ImageShape,
  _: Float32Array,
  points: Float32Array,
  epsilon: number,
  share: number,
  address: RandomAddress,
): Float32Array {
  const [height, width, channels] = shape;
  const side = Math.min(Math.max(Math.round(Math.sqrt(share * height * width)), 1), height, width);
  const [u = 0, v = 0, ...signs] = uniform(address, 2 + channels);
  const window = windowAt(height, width, side, u, v);
  const moved = Float32Array.from(points);
  within(shape, window, (index, _row, _column, channel) => {
    moved[index] = (moved[index] ?? 0) + 2 * epsilon * signOf(signs[channel]);
  });
  return moved;
}

/** Bumps of random sign all over the image. */
function bumps(shape: ImageShape, image: Float32Array, epsilon: number, address: RandomAddress): Float32Array {
  const [height, width, channels] = shape;
  const side = Math.max(Math.floor(Math.min(height, width) / 5), 1);
  const [turn = 0, ...signs] = uniform(address, 1 + Math.ceil(height / side) * Math.ceil(width / side) * channels);
  const bump = bumpOf(side, turn);
  const delta = new Float32Array(image.length);
  const [rows, columns] = [Math.floor(height / side), Math.floor(width / side)];
  const [down, right] = [Math.floor((height - rows * side) / 2), Math.floor((width - columns * side) / 2)];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const window = { top: down + row * side, left: right + column * side, side };
      within(shape, window, (index, y, x, channel) => {
        const sign = signOf(signs[(row * columns + column) * channels + channel]);
        delta[index] = sign * (bump[y * side + x] ?? 0);
      });
    }
  return scaledOnto(image, delta, epsilon);
}

/** One window is emptied and its length given to a bump in another one, together with what the ball leaves (section 3.3 of the paper). */
function movedBump(
  shape: ImageShape,
  image: Float32Array,
  points: Float32Array,
  epsilon: number,
  share: number,
  address: RandomAddress,
): Float32Array {
  const [height, width, channels] = shape;
  const wanted = Math.max(Math.round(Math.sqrt(share * height * width)), 3);
  const side = Math.min(wanted % 2 === 0 ? wanted + 1 : wanted, height, width);
  const [u = 0, v = 0, u2 = 0, v2 = 0, turn = 0, ...signs] = uniform(address, 5 + channels);
  const [into, from] = [windowAt(height, width, side, u, v), windowAt(height, width, side, u2, v2)];
  const delta = points.map((value, i) => value - (image[i] ?? 0));
  const inWindows = new Float32Array(delta.length);
  for (const window of [into, from])
    within(shape, window, (index) => {
      inWindows[index] = delta[index] ?? 0;
    });
  const left = Math.max(epsilon ** 2 - squares(delta), 0) / channels;
  const length = Math.sqrt(left + squares(inWindows));
  const fresh = freshBump(shape, into, delta, bumpOf(side, turn), signs);
  within(shape, from, (index) => {
    delta[index] = 0;
  });
  within(shape, into, (index, y, x, channel) => {
    delta[index] = length * (fresh[channel]?.[y * side + x] ?? 0);
  });
  return scaledOnto(image, delta, epsilon);
}

/** For each channel a bump plus what was in the window, both of length 1, together of length 1. */
function freshBump(
  shape: ImageShape,
  window: Window,
  delta: Float32Array,
  bump: Float32Array,
  signs: readonly number[],
): Float32Array[] {
  const channels = shape[2];
  const before = Array.from({ length: channels }, () => new Float32Array(bump.length));
  within(shape, window, (index, y, x, channel) => {
    const own = before[channel];
    if (own) own[y * window.side + x] = delta[index] ?? 0;
  });
  return before.map((old, channel) => {
    const oldLength = 1e-12 + Math.sqrt(squares(old));
    const mixed = bump.map((value, i) => value * signOf(signs[channel]) + (old[i] ?? 0) / oldLength);
    const length = 1e-12 + Math.sqrt(squares(mixed));
    return mixed.map((value) => value / length);
  });
}

interface Window {
  readonly top: number;
  readonly left: number;
  readonly side: number;
}

function windowAt(height: number, width: number, side: number, u: number, v: number): Window {
  return { top: Math.floor(u * (height - side)), left: Math.floor(v * (width - side)), side };
}

function within(
  [, width, channels]: ImageShape,
  { top, left, side }: Window,
  visit: (index: number, row: number, column: number, channel: number) => void,
): void {
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      for (let channel = 0; channel < channels; channel++)
        visit(((top + y) * width + left + x) * channels + channel, y, x, channel);
}

/** A positive and a negative half, each falling off from its middle; of length 1. `turn` decides whether it lies or stands. */
function bumpOf(side: number, turn: number): Float32Array {
  const upper = Math.floor(side / 2);
  const [above, below] = [pyramid(upper, side), pyramid(side - upper, side)];
  const bump = new Float32Array(side * side);
  bump.set(above);
  bump.set(
    below.map((value) => -value),
    above.length,
  );
  const length = Math.sqrt(squares(bump)) || 1;
  return bump.map((_, i) => {
    const [row, column] = [Math.floor(i / side), i % side];
    return (bump[turn > 0.5 ? column * side + row : i] ?? 0) / length;
  });
}

/** Rectangles around the middle, ring k of weight 1 / k^2; of length 1. */
function pyramid(rows: number, columns: number): Float32Array {
  const values = new Float32Array(rows * columns);
  const [cy, cx] = [Math.floor(rows / 2) + 1, Math.floor(columns / 2) + 1];
  let [top, left] = [cy - 1, cx - 1];
  for (let ring = 0; ring < Math.max(cy, cx); ring++) {
    for (let y = Math.max(top, 0); y < Math.min(top + 2 * ring + 1, rows); y++)
      for (let x = Math.max(left, 0); x < Math.min(left + 2 * ring + 1, columns); x++)
        values[y * columns + x] = (values[y * columns + x] ?? 0) + 1 / (ring + 1) ** 2;
    top--;
    left--;
  }
  const length = Math.sqrt(squares(values)) || 1;
  return values.map((value) => value / length);
}

/** The image plus the perturbation, made as long as the ball allows. */
function scaledOnto(image: Float32Array, delta: Float32Array, epsilon: number): Float32Array {
  const length = Math.sqrt(squares(delta)) || 1;
  return image.map((value, i) => value + ((delta[i] ?? 0) * epsilon) / length);
}

function squares(values: Float32Array): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

function signOf(u = 0): number {
  return u < 0.5 ? -1 : 1;
}
