/** A rectangle of an image: its pixels, row by row. */
export type Patch = readonly number[];

/** Squares of `size` pixels every `stride` pixels, from the upper left corner on until both far edges are covered; what sticks out is cut off. */
export function patchesOf(height: number, width: number, size: number, stride: number): Patch[] {
  const starts = (side: number) => {
    const count = Math.max(1, Math.ceil((side - size) / stride) + 1);
    return Array.from({ length: count }, (_, i) => i * stride);
  };
  const range = (start: number, side: number) =>
    Array.from({ length: Math.min(size, side - start) }, (_, i) => start + i);
  return starts(height).flatMap((top) =>
    starts(width).map((left) =>
      range(top, height).flatMap((row) => range(left, width).map((column) => row * width + column)),
    ),
  );
}

/** Sets all channels of some pixels. */
export function paint(image: Float32Array, pixels: Patch, channels: number, value: number): void {
  for (const pixel of pixels) image.fill(value, pixel * channels, (pixel + 1) * channels);
}
