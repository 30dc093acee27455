import { float32, type NdArray } from '@jsigr/engine';
import { predict } from '@jsigr/models';
import { SaliencyError } from './errors.ts';
import { blurImage } from './gaussian.ts';
import type { SaliencyContext } from './method.ts';
import { ranked, relevances } from './metrics.ts';

/** Areas under the curve of the target's probability, `[batch]`, each in [0,1]. */
export interface InsertionDeletion {
  /** Pixels come in, the most relevant first: high is good. */
  readonly insertion: readonly number[];
  /** Pixels go out, the most relevant first: low is good. */
  readonly deletion: readonly number[];
}

/** What a pixel is where it is not shown: the image blurred by so many pixels, at which no shape is left. */
const BLUR_SIGMA = 5;

/**
 * The causal metrics of Petsiuk et al., arXiv 1806.07421: the probability of the target class while the pixels of an image come in (or go out) in the order of
 * their relevance, from a blurred image to the image (or back), as the area under the curve over the share of pixels.
 * @param map `[batch, height, width, 1]` of the context's images; its absolute values are the relevance
 * @param steps between the ends of a curve, 1..1000
 * @throws SaliencyError INVALID_SETTING, INVALID_INPUT
 */
export async function insertionDeletion(
  { engine, classifier, images, targets, signal }: SaliencyContext,
  map: NdArray,
  { steps = 16 }: { readonly steps?: number } = {},
): Promise<InsertionDeletion> {
  if (!Number.isInteger(steps) || steps < 1 || steps > 1000)
    throw new SaliencyError('INVALID_SETTING', 'steps', `${steps} given, an integer from 1 to 1000 allowed`);
  const relevance = relevances(map);
  const [count = 0, height = 0, width = 0, channels = 0] = images.shape;
  if (map.shape.join() !== [count, height, width, 1].join())
    throw new SaliencyError('INVALID_INPUT', 'map', `[${map.shape}] given, [${[count, height, width, 1]}] needed`);
  const insertion: number[] = [];
  const deletion: number[] = [];
  for (let image = 0; image < count; image++) {
    const size = height * width * channels;
    const shown = images.data.subarray(image * size, (image + 1) * size) as Float32Array;
    const hidden = blurImage(shown, [height, width, channels], BLUR_SIGMA);
    const order = ranked(relevance[image] ?? new Float32Array());
    const frames = [
      ...walk(hidden, shown, { order, steps, channels }),
      ...walk(shown, hidden, { order, steps, channels }),
    ];
    const pixels = new Float32Array(frames.length * size);
    for (const [i, frame] of frames.entries()) pixels.set(frame, i * size);
    const { logits } = await predict(engine, classifier, float32(pixels, [frames.length, height, width, channels]), {
      ...(signal ? { signal } : {}),
    });
    const curve = frames.map((_, i) =>
      probability(
        logits.data.subarray(i * classifier.classes, (i + 1) * classifier.classes) as Float32Array,
        targets.data[image] ?? 0,
      ),
    );
    insertion.push(area(curve.slice(0, steps + 1)));
    deletion.push(area(curve.slice(steps + 1)));
  }
  return { insertion, deletion };
}

/** `steps + 1` images on the way from one to the other, pixel by pixel in the given order. */
function walk(
  from: Float32Array,
  to: Float32Array,
  { order, steps, channels }: { readonly order: readonly number[]; readonly steps: number; readonly channels: number },
): Float32Array[] {
  const image = from.slice();
  let done = 0;
  return Array.from({ length: steps + 1 }, (_, step) => {
    const end = Math.round((step / steps) * order.length);
    for (const pixel of order.slice(done, end))
      image.set(to.subarray(pixel * channels, (pixel + 1) * channels), pixel * channels);
    done = end;
    return image.slice();
  });
}

function probability(logits: Float32Array, target: number): number {
  const largest = Math.max(...logits);
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
  return Math.exp((logits[target] ?? 0) - largest) / total;
}

/** By trapezoids over [0,1]. */
function area(curve: readonly number[]): number {
  const inner = curve.slice(1, -1).reduce((sum, value) => sum + value, 0);
  return (inner + ((curve[0] ?? 0) + (curve.at(-1) ?? 0)) / 2) / (curve.length - 1);
}
