import { type NdArray, uniform } from '@jsigr/engine';
import { SaliencyError } from './errors.ts';
import { type SaliencyContext, sampleIndicesOf } from './method.ts';
import { imageOf, outputsAt } from './outputs-at.ts';
import { paint } from './patches.ts';

export interface InfidelityOptions {
  /** Random sets of pixels that are moved, 1..10000; 64 by default. */
  readonly draws?: number;
  /** Chance of each pixel to be moved, in (0, 1]; 1/2 by default. 1: all of them, where one draw is enough. */
  readonly share?: number;
  /** What pixels are moved to, in [0,1]; 0 by default. */
  readonly baseline?: number;
}

/**
 * Infidelity of a map, Yeh et al., arXiv 1901.09392, definition 2.1, for moves of whole pixels to a baseline: the mean square of the difference between what the map
 * says that these pixels account for (the sum of their values) and what the output loses without them. Meant for maps that share out a change of the output
 * (`integrated-gradients`, `input-x-gradient`, `shapley`). 0 is best; if all pixels are moved it is the square of the completeness gap.
 * @param map `[batch, height, width, 1]` of the context's images
 * @returns of each image, `[batch]`
 * @throws SaliencyError INVALID_SETTING, INVALID_INPUT
 */
export async function infidelity(
  context: SaliencyContext,
  map: NdArray,
  { draws = 64, share = 0.5, baseline = 0 }: InfidelityOptions = {},
): Promise<number[]> {
  const refused = (name: string, value: number, allowed: string) =>
    new SaliencyError('INVALID_SETTING', name, `${value} given, ${allowed} allowed`);
  if (!Number.isInteger(draws) || draws < 1 || draws > 10_000)
    throw refused('draws', draws, 'an integer from 1 to 10000');
  if (!(share > 0 && share <= 1)) throw refused('share', share, 'above 0 and up to 1');
  if (!(baseline >= 0 && baseline <= 1)) throw refused('baseline', baseline, '0 to 1');
  const { images, seed = 0 } = context;
  const [batch = 0, height = 0, width = 0, channels = 0] = images.shape;
  if (map.shape.join() !== [batch, height, width, 1].join())
    throw new SaliencyError('INVALID_INPUT', 'map', `[${map.shape}] given, [${[batch, height, width, 1]}] needed`);
  const found: number[] = [];
  for (const [row, sample] of sampleIndicesOf(context).entries()) {
    const values = imageOf(map, row);
    const moved = Array.from({ length: draws }, (_, step) => {
      const numbers = uniform({ seed, stream: 'infidelity.moved', step, sample }, values.length);
      return [...numbers.keys()].filter((pixel) => (numbers[pixel] ?? 0) < share);
    });
    const outputs = await outputsAt(context, row, draws + 1, (i, image) =>
      paint(image, moved[i] ?? [], channels, baseline),
    );
    const whole = outputs.at(-1) ?? 0;
    const squares = moved.map((pixels, i) => {
      const said = pixels.reduce((sum, pixel) => sum + (values[pixel] ?? 0), 0);
      return (said - (whole - (outputs[i] ?? 0))) ** 2;
    });
    found.push(squares.reduce((sum, square) => sum + square, 0) / draws);
  }
  return found;
}
