/** A rectangle of an image: its pixels, row by row. */
export type Patch = readonly number[];

/** Squares of `size` pixels every `stride` pixels, from the upper left corner on until both far edges are covered; what sticks out is cut off. */
export function patchesOf(height: number, width: number, size: number, stride: number): Patch[] {
  const starts = (side: number) => Array.from({ length: along(side, size, stride) }, (_, i) => i * stride);
  const range = (start: number, side: number) =>
    Array.from({ length: Math.min(size, side - start) }, (_, i) => start + i);
  return starts(height).flatMap((top) =>
    starts(width).map((left) =>
      range(top, height).flatMap((row) => range(left, width).map((column) => row * width + column)),
    ),
  );
}

/** How many `patchesOf` gives. */
export function patchCount(height: number, width: number, size: number, stride: number): number {
  return along(height, size, stride) * along(width, size, stride);
}

function along(side: number, size: number, stride: number): number {
  return Math.max(1, Math.ceil((side - size) / stride) + 1);
}

/** Sets all channels of some pixels. */
export function paint(image: Float32Array, pixels: Patch, channels: number, value: number): void {
  for (const pixel of pixels) image.fill(value, pixel * channels, (pixel + 1) * channels);
}
