import type { ImportedInput } from '@jsigr/engine';
import type { ImageShape } from '../classifier.ts';
import { ModelError } from '../errors.ts';
import { type Layout, LIMITS } from './manifest.ts';

export interface InputReading {
  readonly input: ImageShape;
  readonly layout: Layout;
  readonly imageShape: readonly number[];
}

interface Given {
  readonly input?: ImageShape | undefined;
  readonly layout?: Layout | undefined;
}

/**
 * Which images a model takes, from the shape of its input and what the user says of it. [N, C, H, W] and [N, H, W, C] are told apart by
 * their number of channels, 1..4; what the file leaves open or flat must be given.
 * @throws ModelError INVALID_SHAPE, naming the setting that is missing or does not fit
 */
export function readInput({ name, shape, dtype }: ImportedInput, { input, layout }: Given): InputReading {
  const sizes = shape.slice(1);
  const described = `its input '${name}' has the shape [${shape.map((size) => (size === '' ? '?' : size)).join(', ')}]`;
  if (dtype !== 'float32')
    throw problem('files', `${described} and takes ${dtype}; only floating-point images are supported`);
  if (Number(shape[0]) > LIMITS.batch)
    throw problem('files', `${described}: a fixed batch of 1 to ${LIMITS.batch} images is allowed`);
  if (sizes.length === 3) return readImages(sizes, layout, input, described);
  if (!input) throw problem('input', `${described}: give the height, width and channels of its images`);
  const order: Layout = layout ?? 'NHWC';
  const imageShape = sizes.length === 1 ? [input[0] * input[1] * input[2]] : [input[0], input[1]];
  const fits =
    (sizes.length === 1 || (sizes.length === 2 && input[2] === 1)) &&
    sizes.every((size, i) => typeof size === 'string' || size === imageShape[i]);
  if (!fits) throw problem('input', `${described}; images of ${input.join('x')} do not fit it`);
  return { input, layout: order, imageShape };
}

function readImages(
  sizes: readonly (number | string)[],
  given: Layout | undefined,
  input: ImageShape | undefined,
  described: string,
): InputReading {
  const layout = given ?? guessLayout(sizes);
  if (!layout) throw problem('layout', `${described}: say whether it is NCHW or NHWC`);
  const wanted = input && (layout === 'NCHW' ? [input[2], input[0], input[1]] : input);
  const imageShape = sizes.map((size, i) => (typeof size === 'number' ? size : wanted?.[i]));
  if (!imageShape.every((size) => size !== undefined))
    throw problem('input', `${described}, which leaves the size of its images open: give height, width and channels`);
  if (wanted && imageShape.some((size, i) => size !== wanted[i]))
    throw problem('input', `${described} (${layout}); images of ${input.join('x')} do not fit it`);
  const [a = 0, b = 0, c = 0] = imageShape;
  const found: ImageShape = layout === 'NCHW' ? [b, c, a] : [a, b, c];
  if (found[0] > LIMITS.side || found[1] > LIMITS.side)
    throw problem('files', `${described}: sides of 1 to ${LIMITS.side} pixels are allowed`);
  if (found[2] > LIMITS.channels)
    throw problem(
      'layout',
      `${described}: as ${layout} it has ${found[2]} channels; 1 to ${LIMITS.channels} are allowed`,
    );
  return { input: found, layout, imageShape };
}

function guessLayout([first, , last]: readonly (number | string)[]): Layout | undefined {
  const isChannels = (size: number | string | undefined) => typeof size === 'number' && size <= LIMITS.channels;
  if (isChannels(first) === isChannels(last)) return undefined;
  return isChannels(first) ? 'NCHW' : 'NHWC';
}

function problem(field: string, message: string): ModelError {
  return new ModelError('INVALID_SHAPE', field, message);
}
