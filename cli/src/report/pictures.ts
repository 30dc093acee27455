import { encodePng } from './png.ts';

/** A picture of a report: a PNG with the size that its pixels have. */
export interface Picture {
  readonly png: Uint8Array;
  readonly height: number;
  readonly width: number;
}

/** An image `[height, width, channels]` with values in [0,1]; more than three channels are shown by their first. */
export function imagePicture(values: Float32Array, [height = 0, width = 0, channels = 1]: readonly number[]): Picture {
  const shown = channels === 3 ? 3 : 1;
  const pixels = new Uint8Array(height * width * shown);
  for (let at = 0; at < height * width; at++)
    for (let channel = 0; channel < shown; channel++)
      pixels[at * shown + channel] = byte(values[at * channels + channel] ?? 0);
  return { png: encodePng(pixels, height, width, shown), height, width };
}

/**
 * An attribution map `[height, width]`: white is zero, red speaks for the class, blue against it; the strongest hundredth of the
 * pixels is at full colour, so that one extreme pixel does not blank the rest.
 */
export function mapPicture(values: Float32Array, [height = 0, width = 0]: readonly number[]): Picture {
  const scale = percentile(values.map(Math.abs), 0.99) || 1;
  const pixels = new Uint8Array(height * width * 3);
  for (let at = 0; at < height * width; at++) pixels.set(diverging((values[at] ?? 0) / scale), at * 3);
  return { png: encodePng(pixels, height, width, 3), height, width };
}

/**
 * The outline of a mask as the path of an SVG whose unit is one pixel: every edge between a pixel inside and one outside.
 * @param mask `[height, width]`, 0 outside
 */
export function outlinePath(mask: Uint8Array, height: number, width: number): string {
  const inside = (row: number, column: number): boolean =>
    row >= 0 && row < height && column >= 0 && column < width && mask[row * width + column] !== 0;
  const edges: string[] = [];
  for (let row = 0; row <= height; row++)
    for (let column = 0; column <= width; column++) {
      if (inside(row, column) !== inside(row - 1, column)) edges.push(`M${column} ${row}h1`);
      if (inside(row, column) !== inside(row, column - 1)) edges.push(`M${column} ${row}v1`);
    }
  return edges.join('');
}

// From blue over white to red; both ends are told apart by people who see no red or no green.
const POSITIVE = [178, 24, 43] as const;
const NEGATIVE = [33, 102, 172] as const;

function diverging(value: number): [number, number, number] {
  const end = value >= 0 ? POSITIVE : NEGATIVE;
  const share = Math.min(1, Math.abs(value));
  const mixed = end.map((channel) => Math.round(255 + (channel - 255) * share));
  return [mixed[0] ?? 255, mixed[1] ?? 255, mixed[2] ?? 255];
}

function percentile(values: Float32Array, share: number): number {
  const sorted = values.slice().sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function byte(value: number): number {
  return Math.round(Math.min(1, Math.max(0, value)) * 255);
}
