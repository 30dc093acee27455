import { gaussianMatrix } from './gaussian.ts';

/** Where perturbations are centred along one axis: every `stride` pixels, as far from one edge as from the other. */
export function gridPositions(size: number, stride: number): number[] {
  const count = Math.ceil(size / stride);
  const first = Math.floor((size - 1 - (count - 1) * stride) / 2);
  return Array.from({ length: count }, (_, i) => first + i * stride);
}

export interface Masks {
  /** How many there are: one at each position of the grid, row by row. */
  readonly count: number;
  /** `[many, height, width]`: those from `first` on; zeros, which change nothing, beyond the last one. */
  readonly part: (first: number, many: number) => Float32Array;
}

/**
 * The masks M of Greydanus et al. (arXiv 1711.00138, section 3.1): a disc of radius 1, blurred with `sigma`, divided by its maximum. They are made part by part,
 * since all masks of a large image together have places x height x width numbers: gigabytes.
 */
export function gridMasks(height: number, width: number, stride: number, sigma: number): Masks {
  const rows = gridPositions(height, stride);
  const columns = gridPositions(width, stride);
  const count = rows.length * columns.length;
  const blur = { rows: gaussianMatrix(height, sigma), columns: gaussianMatrix(width, sigma) };
  const part = (first: number, many: number) => {
    const size = height * width;
    const masks = new Float32Array(many * size);
    for (let i = 0; i < Math.min(many, count - first); i++) {
      const place = first + i;
      const centre = [rows[Math.floor(place / columns.length)] ?? 0, columns[place % columns.length] ?? 0] as const;
      drawMask(masks.subarray(i * size, (i + 1) * size), [height, width], centre, blur);
    }
    return masks;
  };
  return { count, part };
}

/** One mask, into zeros. */
function drawMask(
  mask: Float32Array,
  [height, width]: readonly [number, number],
  [row, column]: readonly [number, number],
  blur: { readonly rows: Float64Array; readonly columns: Float64Array },
): void {
  for (const [y, x] of disc(row, column)) {
    if (y < 0 || y >= height || x < 0 || x >= width) continue;
    for (let k = 0; k < mask.length; k++)
      mask[k] =
        (mask[k] ?? 0) +
        (blur.rows[Math.floor(k / width) * height + y] ?? 0) * (blur.columns[(k % width) * width + x] ?? 0);
  }
  const largest = mask.reduce((max, value) => Math.max(max, value), 0);
  for (let k = 0; k < mask.length; k++) mask[k] = (mask[k] ?? 0) / largest;
}

/** The pixels at most 1 away. */
function disc(row: number, column: number): [number, number][] {
  return [
    [row, column],
    [row - 1, column],
    [row + 1, column],
    [row, column - 1],
    [row, column + 1],
  ];
}

/** Bilinear interpolation along one axis from values at `positions` to pixels 0..size-1; constant beyond the ends. */
export interface Interpolation {
  readonly lower: number;
  readonly upper: number;
  /** Of `upper`, 0..1. */
  readonly weight: number;
}

export function interpolations(size: number, positions: readonly number[]): Interpolation[] {
  const [first = 0, second = first + 1] = positions;
  return Array.from({ length: size }, (_, pixel) => {
    const at = Math.min(Math.max((pixel - first) / (second - first), 0), positions.length - 1);
    const lower = Math.floor(at);
    return { lower, upper: Math.min(lower + 1, positions.length - 1), weight: at - lower };
  });
}

/** Where the centres of `cells` equal cells lie along an axis of `size` pixels. */
export function cellCentres(size: number, cells: number): number[] {
  return Array.from({ length: cells }, (_, i) => ((i + 0.5) * size) / cells - 0.5);
}

/** Grid values `[batch, rows * columns]` to pixels, bilinear: never more than the largest value of the grid. */
export function upsample(
  grid: Float32Array,
  batch: number,
  [height, width]: readonly [number, number],
  { rows, columns }: { readonly rows: readonly number[]; readonly columns: readonly number[] },
): Float32Array {
  const down = interpolations(height, rows);
  const across = interpolations(width, columns);
  const map = new Float32Array(batch * height * width);
  for (let image = 0; image < batch; image++) {
    const at = (row: number, column: number) => grid[(image * rows.length + row) * columns.length + column] ?? 0;
    down.forEach((y, row) => {
      across.forEach((x, column) => {
        const top = at(y.lower, x.lower) * (1 - x.weight) + at(y.lower, x.upper) * x.weight;
        const bottom = at(y.upper, x.lower) * (1 - x.weight) + at(y.upper, x.upper) * x.weight;
        map[(image * height + row) * width + column] = top * (1 - y.weight) + bottom * y.weight;
      });
    });
  }
  return map;
}
