import { float32, type NdArray, normal, uniform } from '@jsigr/engine';
import type { AttackContext } from '../attack.ts';
import { sizeOfImage } from '../compiled.ts';
import { AttackError } from '../errors.ts';
import { evenly } from '../norms.ts';
import type { View } from '../rows.ts';
import { blockMap, paddedMap, resampled } from './resampling.ts';
import { spectrum } from './spectrum.ts';

/** One copy of the images: an affine map of each, and how a gradient at the copy becomes one at the image (by the map's transpose). */
export interface Copy {
  readonly apply: (points: NdArray) => Promise<NdArray> | NdArray;
  readonly back: (gradient: NdArray) => Promise<NdArray> | NdArray;
}

/** Makes several copies of the images before the surrogates look, so that what is found does not depend on one view. */
export interface InputTransformation {
  readonly summary: string;
  readonly copies: number;
  /** @param step,copy with the seed, the sample and its attempt the address of every random number. */
  readonly draw: (context: AttackContext, view: View, step: number, copy: number) => Copy;
}

export type InputName = 'di' | 'si' | 'admix' | 'ssa' | 'bsr';

export const inputTransformations: Readonly<Record<InputName, InputTransformation>> = {
  di: {
    summary: 'diverse inputs: half of the time a smaller image at a random place (Xie et al. 2019)',
    copies: 1,
    draw: (context, view, step) => {
      const draws = uniforms(context, view, 'di', step, 4);
      return resampled(view, (place) => paddedMap(context.source.input, draws(place)));
    },
  },
  si: {
    summary: 'scale invariance: the image and its halves, down to a sixteenth of the brightness (Lin et al. 2020)',
    copies: 5,
    draw: (_, __, ___, copy) => {
      const scaled = (array: NdArray) => map(array, (value) => value / 2 ** copy);
      return { apply: scaled, back: scaled };
    },
  },
  admix: {
    summary: 'Admix: a fifth of another image of another class is added (Wang et al. 2021)',
    copies: 3,
    draw: (context, view, step, copy) => {
      const others = mixed(context, view, step * 3 + copy);
      return {
        apply: (points) => map(points, (value, i) => value + 0.2 * (others[i] ?? 0)),
        back: (gradient) => gradient,
      };
    },
  },
  ssa: {
    summary: 'spectrum simulation: Gaussian noise, then random factors in the cosine spectrum (Long et al. 2022)',
    copies: 20,
    draw: (context, view, step, copy) => {
      const size = sizeOfImage(view);
      const shape = view.images.shape;
      const at = step * 20 + copy;
      const noise = fill(view, (place) => {
        const scale = evenly(context.norm, view.epsilons[place] ?? 0, size);
        return normal(address(context, view, place, 'ssa.noise', at), size).map((value) => value * scale);
      });
      const factors = fill(view, (place) =>
        uniform(address(context, view, place, 'ssa.factors', at), size).map((u) => 0.5 + u),
      );
      const through = (points: NdArray) => spectrum(context.engine, points, float32(factors, shape));
      return { apply: (points) => through(map(points, (value, i) => value + (noise[i] ?? 0))), back: through };
    },
  },
  bsr: {
    summary:
      'block shuffle and rotation: 2 x 2 blocks of random size, shuffled and turned by up to 24 degrees (Wang et al. 2024)',
    copies: 20,
    draw: (context, view, step, copy) => {
      const draws = uniforms(context, view, 'bsr', step * 20 + copy, 16);
      return resampled(view, (place) => blockMap(context.source.input, draws(place)));
    },
  },
};

function address({ seed }: AttackContext, view: View, place: number, piece: string, step: number) {
  const stream = `transfer.${piece}/${view.attempts[place] ?? 0}`;
  return { seed, stream, step, sample: view.sampleIndices[place] ?? 0 };
}

function uniforms(context: AttackContext, view: View, piece: string, step: number, count: number) {
  return (place: number) => uniform(address(context, view, place, piece, step), count);
}

function fill(view: View, numbersOf: (place: number) => Float32Array): Float32Array {
  const data = new Float32Array(view.images.data.length);
  view.rows.forEach((_, place) => {
    data.set(numbersOf(place), (place * data.length) / view.rows.length);
  });
  return data;
}

function map(array: NdArray, change: (value: number, index: number) => number): NdArray {
  return float32(Float32Array.from(array.data, change), array.shape);
}

/** For each place an image of the pool of another class; where there is none, any. */
function mixed(context: AttackContext, view: View, step: number): Float32Array {
  const { pool } = context;
  if (!pool) throw new AttackError('INVALID_INPUT', 'pool', 'admix needs other images to mix in');
  const size = sizeOfImage(view);
  return fill(view, (place) => {
    const candidates = [...pool.labels.data.keys()].filter((i) => pool.labels.data[i] !== view.labels.data[place]);
    const from = candidates.length > 0 ? candidates : [...pool.labels.data.keys()];
    const [u = 0] = uniform(address(context, view, place, 'admix', step), 1);
    const chosen = from[Math.floor(u * from.length)] ?? 0;
    return pool.images.data.subarray(chosen * size, (chosen + 1) * size) as Float32Array;
  });
}
