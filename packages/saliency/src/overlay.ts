import type { NdArray } from '@jsigr/engine';
import { diverging, mix, type Rgb } from './colours.ts';
import { SaliencyError } from './errors.ts';
import { normalise } from './metrics.ts';
import type { Pixels } from './png.ts';

export interface OverlayOptions {
  /** How much of a pixel the strongest colour covers, 0..1; 0.9 by default. */
  readonly opacity?: number;
}

/**
 * A map laid over its image: the image in light grey, red where the map speaks for what is explained, blue where against, the stronger the more.
 * @param image float32 `[height, width, channels]` (or with a batch of 1) in [0,1], 1 or 3 channels.
 * @param map float32 `[height, width, 1]` (or with a batch of 1), raw: scaled here by its largest absolute value.
 * @returns RGB pixels of the same size.
 * @throws SaliencyError INVALID_INPUT if the shapes do not fit.
 */
export function renderOverlay(image: NdArray, map: NdArray, options: OverlayOptions = {}): Pixels {
  const { opacity = 0.9 } = options;
  const [height, width] = sizeOfPair(image, map);
  const strength = normalise({ ...map, shape: [1, height, width, 1] }).data;
  const channels = image.data.length / (height * width);
  return paint(width, height, (pixel) => {
    const value = strength[pixel] ?? 0;
    const grey = 255 * (0.35 + 0.65 * brightness(image, pixel, channels));
    // The square root lets weak values be seen; their colour is pale already.
    return mix([grey, grey, grey], diverging(value), opacity * Math.sqrt(Math.abs(value)));
  });
}

/** The map alone: white where it says nothing. Parameters as in {@link renderOverlay}. */
export function renderMap(map: NdArray): Pixels {
  const [height = 0, width = 0] = map.shape.slice(-3);
  const values = normalise({ ...map, shape: [1, height, width, 1] }).data;
  return paint(width, height, (pixel) => diverging(values[pixel] ?? 0));
}

/** Each pixel as a square of `factor` x `factor`. @throws SaliencyError INVALID_IMAGE unless the factor is an integer in 1..64. */
export function enlarge({ width, height, channels, data }: Pixels, factor: number): Pixels {
  if (!Number.isInteger(factor) || factor < 1 || factor > 64)
    throw new SaliencyError('INVALID_IMAGE', 'factor', `${factor} is not an integer in 1..64`);
  const large = new Uint8Array(data.length * factor * factor);
  for (let row = 0; row < height * factor; row++)
    for (let column = 0; column < width * factor; column++) {
      const from = (Math.floor(row / factor) * width + Math.floor(column / factor)) * channels;
      large.set(data.subarray(from, from + channels), (row * width * factor + column) * channels);
    }
  return { width: width * factor, height: height * factor, channels, data: large };
}

function paint(width: number, height: number, colour: (pixel: number) => Rgb): Pixels {
  const data = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) data.set(colour(pixel).map(Math.round), pixel * 3);
  return { width, height, channels: 3, data };
}

/** Luminance (Rec. 709) in [0,1]. */
function brightness(image: NdArray, pixel: number, channels: number): number {
  const [red = 0, green = red, blue = red] = image.data.subarray(pixel * channels, (pixel + 1) * channels);
  return Math.min(Math.max(0.2126 * red + 0.7152 * green + 0.0722 * blue, 0), 1);
}

function sizeOfPair(image: NdArray, map: NdArray): [number, number] {
  const [height = 0, width = 0, channels = 0] = image.shape.slice(-3);
  const fits =
    height * width > 0 && (channels === 1 || channels === 3) && image.data.length === height * width * channels;
  if (!fits)
    throw new SaliencyError(
      'INVALID_INPUT',
      'image',
      `[${image.shape}] given, one image [height, width, 1 or 3] needed`,
    );
  if (map.shape.slice(-3).join() !== [height, width, 1].join() || map.data.length !== height * width)
    throw new SaliencyError('INVALID_INPUT', 'map', `[${map.shape}] given, one map [${height}, ${width}, 1] needed`);
  return [height, width];
}
