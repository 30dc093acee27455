import { float32, type NdArray } from '@jsigr/engine';
import type { ImageShape } from '@jsigr/models';
import type { View } from '../rows.ts';
import type { Copy } from './inputs.ts';

/** For each pixel of the copy the pixel of the image that it shows, by number; -1: none, it is black. */
export type PixelMap = Int32Array;

/** The copy in which each place's image is resampled by its map. */
export function resampled(view: View, mapOf: (place: number) => PixelMap): Copy {
  const maps = view.rows.map((_, place) => mapOf(place));
  return {
    apply: (points) =>
      scatter(points, maps, (into, from, to, target) => {
        target[into] = from[to] ?? 0;
      }),
    back: (gradient) =>
      scatter(gradient, maps, (into, from, to, target) => {
        target[to] = (target[to] ?? 0) + (from[into] ?? 0);
      }),
  };
}

function scatter(
  array: NdArray,
  maps: readonly PixelMap[],
  assign: (copy: number, from: NdArray['data'], image: number, target: Float32Array) => void,
): NdArray {
  const channels = array.shape[3] ?? 1;
  const target = new Float32Array(array.data.length);
  maps.forEach((map, place) => {
    const base = place * map.length;
    map.forEach((source, pixel) => {
      if (source < 0) return;
      for (let channel = 0; channel < channels; channel++)
        assign((base + pixel) * channels + channel, array.data, (base + source) * channels + channel, target);
    });
  });
  return float32(target, array.shape);
}

/** Smallest share of its side that an image is shrunk to. */
const SHRINKING = 0.9;

/**
 * The image made smaller (nearest neighbours) and put on black at a random place; unchanged half of the time. For networks of a fixed input size the image
 * shrinks, where the paper enlarges what is around it.
 */
export function paddedMap([height, width]: ImageShape, draws: Float32Array): PixelMap {
  const [coin = 0, scale = 0, down = 0, right = 0] = draws;
  if (coin < 0.5) return Int32Array.from({ length: height * width }, (_, pixel) => pixel);
  const shrunk = (side: number) => {
    const least = Math.max(1, Math.floor(SHRINKING * side));
    return Math.min(side, least + Math.floor(scale * (side - least)));
  };
  const [rows, columns] = [shrunk(height), shrunk(width)];
  const top = Math.floor(down * (height - rows + 1));
  const left = Math.floor(right * (width - columns + 1));
  return mapOf(height, width, (row, column) => {
    const [y, x] = [row - top, column - left];
    if (y < 0 || y >= rows || x < 0 || x >= columns) return undefined;
    return [Math.floor((y * height) / rows), Math.floor((x * width) / columns)];
  });
}

const MOST_DEGREES = 24;

/** The image cut into two strips, each turned a little and cut into two blocks; strips and blocks may change places. */
export function blockMap([height, width]: ImageShape, draws: Float32Array): PixelMap {
  const [axis = 0, cut = 0, swap = 0, ...perStrip] = draws;
  const tall = axis < 0.5;
  const [along, across] = tall ? [height, width] : [width, height];
  const strips = parts(along, cut, swap >= 0.5);
  return mapOf(height, width, (row, column) => {
    const [a, b] = tall ? [row, column] : [column, row];
    const strip = strips.find(({ to, length }) => a >= to && a < to + length);
    if (!strip) return undefined;
    const [turn = 0, blockCut = 0, blockSwap = 0] = perStrip.slice(3 * strip.index);
    const block = parts(across, blockCut, blockSwap >= 0.5).find(({ to, length }) => b >= to && b < to + length);
    if (!block) return undefined;
    // Backwards: out of the shuffled block into the strip, then back by the rotation around the strip's middle.
    const [y, x] = [a - strip.to, b - block.to + block.from];
    const angle = ((2 * turn - 1) * MOST_DEGREES * Math.PI) / 180;
    const [cy, cx] = [(strip.length - 1) / 2, (across - 1) / 2];
    const sy = Math.round(cy + (y - cy) * Math.cos(angle) - (x - cx) * Math.sin(angle));
    const sx = Math.round(cx + (y - cy) * Math.sin(angle) + (x - cx) * Math.cos(angle));
    if (sy < 0 || sy >= strip.length || sx < 0 || sx >= across) return undefined;
    return tall ? [strip.from + sy, sx] : [sx, strip.from + sy];
  });
}

interface Part {
  readonly index: number;
  readonly from: number;
  readonly to: number;
  readonly length: number;
}

/** Two parts of a side, cut at a random place, and where each of them goes. */
function parts(side: number, cut: number, swapped: boolean): Part[] {
  const first = Math.min(Math.max(Math.round(cut * side), 1), Math.max(side - 1, 1));
  const second = side - first;
  return [
    { index: 0, from: 0, to: swapped ? second : 0, length: first },
    { index: 1, from: first, to: swapped ? 0 : first, length: second },
  ];
}

function mapOf(
  height: number,
  width: number,
  sourceOf: (row: number, column: number) => readonly [number, number] | undefined,
): PixelMap {
  return Int32Array.from({ length: height * width }, (_, pixel) => {
    const source = sourceOf(Math.floor(pixel / width), pixel % width);
    return source ? source[0] * width + source[1] : -1;
  });
}
