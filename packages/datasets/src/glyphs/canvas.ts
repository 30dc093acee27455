import type { Segment } from './shapes.ts';

/** One value per channel, 0..1. */
export type Ink = readonly number[];

/** Where a shape is drawn: shape coordinates are scaled, turned and moved to pixels. */
export interface Placement {
  /** Pixels. */
  readonly centre: readonly [x: number, y: number];
  /** Pixels per unit of the shape, along its own x and y axes. */
  readonly scale: readonly [x: number, y: number];
  /** Unit vector that the shape's x axis turns to. */
  readonly direction: readonly [x: number, y: number];
}

/**
 * A square image in [0, 1] under construction. Arithmetic is + - * / sqrt alone, which IEEE 754 rounds the same way on every machine (sin, exp and pow
 * it does not): equal draws give equal bytes everywhere.
 */
export class Canvas {
  readonly side: number;
  readonly channels: number;
  readonly pixels: Float64Array;
  /** How much of each pixel the last {@link stroke} covered, 0..1. */
  readonly coverage: Float64Array;
  readonly #distance: Float64Array;

  constructor(side: number, channels: number) {
    this.side = side;
    this.channels = channels;
    this.pixels = new Float64Array(side * side * channels);
    this.coverage = new Float64Array(side * side);
    this.#distance = new Float64Array(side * side);
  }

  /** Covers everything with an ink that changes linearly by `slope` (value per image side) along x and y. */
  fill(ink: Ink, slope: readonly [x: number, y: number]): void {
    const { side, channels, pixels } = this;
    for (let y = 0, at = 0; y < side; y++)
      for (let x = 0; x < side; x++) {
        const shade = (slope[0] * (x - side / 2) + slope[1] * (y - side / 2)) / side;
        for (let channel = 0; channel < channels; channel++) pixels[at++] = (ink[channel] ?? 0) + shade;
      }
  }

  /** Adds a soft round spot: (1 - (d / radius)^2)^2 times the ink at distance d. */
  spot([cx, cy]: readonly [number, number], radius: number, ink: Ink): void {
    const { side, channels, pixels } = this;
    const [left, right] = range(cx - radius, cx + radius, side);
    const [top, bottom] = range(cy - radius, cy + radius, side);
    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        const dx = x - cx;
        const dy = y - cy;
        const rest = 1 - (dx * dx + dy * dy) / (radius * radius);
        if (rest <= 0) continue;
        for (let channel = 0; channel < channels; channel++)
          add(pixels, (y * side + x) * channels + channel, rest * rest * (ink[channel] ?? 0));
      }
  }

  /** Adds +ink or -ink by a 4 x 4 pattern of bits, repeated over a square of `size` pixels. */
  texture(left: number, top: number, size: number, rows: readonly number[], ink: Ink): void {
    const { side, channels, pixels } = this;
    for (let y = top; y < Math.min(top + size, side); y++)
      for (let x = left; x < Math.min(left + size, side); x++) {
        const sign = ((rows[y & 3] ?? 0) >> (3 - (x & 3))) & 1 ? 1 : -1;
        for (let channel = 0; channel < channels; channel++)
          add(pixels, (y * side + x) * channels + channel, sign * (ink[channel] ?? 0));
      }
  }

  /** Paints strokes of a width of `2 * halfWidth` pixels over what is there, anti-aliased over one pixel; `coverage` says where. */
  stroke(segments: readonly Segment[], placement: Placement, halfWidth: number, ink: Ink): void {
    const { side, channels, pixels, coverage } = this;
    const squared = this.#distance.fill(Number.POSITIVE_INFINITY);
    for (const segment of segments) this.#measure(placed(segment, placement), halfWidth + 1);
    for (let pixel = 0; pixel < side * side; pixel++) {
      const nearest = squared[pixel] ?? 0;
      const covered =
        nearest === Number.POSITIVE_INFINITY ? 0 : Math.min(1, Math.max(0, halfWidth + 0.5 - Math.sqrt(nearest)));
      coverage[pixel] = covered;
      if (covered === 0) continue;
      for (let channel = 0; channel < channels; channel++) {
        const at = pixel * channels + channel;
        pixels[at] = (pixels[at] ?? 0) * (1 - covered) + (ink[channel] ?? 0) * covered;
      }
    }
  }

  /** Lowers the squared distances of the pixels within `reach` of a segment (in pixels). */
  #measure([x0, y0, x1, y1]: Segment, reach: number): void {
    const { side } = this;
    const distance = this.#distance;
    const [left, right] = range(Math.min(x0, x1) - reach, Math.max(x0, x1) + reach, side);
    const [top, bottom] = range(Math.min(y0, y1) - reach, Math.max(y0, y1) + reach, side);
    const ux = x1 - x0;
    const uy = y1 - y0;
    const perLength = 1 / Math.max(ux * ux + uy * uy, 1e-9);
    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        const along = Math.min(1, Math.max(0, ((x - x0) * ux + (y - y0) * uy) * perLength));
        const dx = x - x0 - along * ux;
        const dy = y - y0 - along * uy;
        const squared = dx * dx + dy * dy;
        const at = y * side + x;
        if (squared < (distance[at] ?? 0)) distance[at] = squared;
      }
  }
}

function placed([x0, y0, x1, y1]: Segment, placement: Placement): Segment {
  return [...place(x0, y0, placement), ...place(x1, y1, placement)];
}

function place(x: number, y: number, { centre, scale, direction }: Placement): readonly [number, number] {
  const [sx, sy] = [x * scale[0], y * scale[1]];
  return [centre[0] + sx * direction[0] - sy * direction[1], centre[1] + sx * direction[1] + sy * direction[0]];
}

/** The least and the greatest x and y, in pixels, of the middle line of placed strokes. */
export function extentOf(
  segments: readonly Segment[],
  placement: Placement,
): { readonly x: readonly [low: number, high: number]; readonly y: readonly [low: number, high: number] } {
  const lines = segments.map((segment) => placed(segment, placement));
  const xs = lines.flatMap(([x0, , x1]) => [x0, x1]);
  const ys = lines.flatMap(([, y0, , y1]) => [y0, y1]);
  return { x: [Math.min(...xs), Math.max(...xs)], y: [Math.min(...ys), Math.max(...ys)] };
}

/** The whole pixels from `low` to `high`, inside the image: [first, one past the last]. */
function range(low: number, high: number, side: number): readonly [number, number] {
  return [Math.max(0, Math.floor(low)), Math.min(side, Math.floor(high) + 2)];
}

function add(pixels: Float64Array, at: number, value: number): void {
  pixels[at] = (pixels[at] ?? 0) + value;
}
