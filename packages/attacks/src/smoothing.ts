import { setImmediate } from 'node:timers/promises';
import { type Engine, float32, normal, runCompiled } from '@jsigr/engine';
import { argmax, type Classifier, isQueried } from '@jsigr/models';
import { AttackError } from './errors.ts';
import { logitsOf } from './queries.ts';
import { isRandom } from './randomised.ts';
import { clopperPearson, normalQuantile } from './statistics.ts';

/** How a classifier is smoothed and certified. */
export interface Smoothing {
  /** Standard deviation of the noise, in units of the images; above 0. */
  readonly sigma: number;
  /** Draws that choose the class, and draws that count it. */
  readonly selection?: number;
  readonly estimation?: number;
  /** Probability that a certificate is wrong, at most; 0..0.5, both excluded. */
  readonly alpha?: number;
}

export interface SmoothingOptions extends Smoothing {
  readonly seed: number;
  /** Index of the image: part of the address of its noise. */
  readonly sample: number;
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

/** What is taken unless told otherwise. */
export const SMOOTHING = { selection: 100, estimation: 10_000, alpha: 0.001 } as const;

/** What the smoothed classifier says of an image, and how far that holds; no class: it abstains. */
export interface Certificate {
  readonly prediction: number | undefined;
  /** No perturbation of a smaller l2 length changes the smoothed prediction, with probability 1 - alpha. */
  readonly radius: number;
  /** Lower bound of the probability of the class under noise. */
  readonly probability: number;
  readonly forwards: number;
}

/**
 * Certifies the classifier that answers with the likeliest class under Gaussian noise: Cohen et al., arXiv 1902.02918, algorithm CERTIFY. It holds for
 * that smoothed classifier, not for the one that it is made of.
 * @param image numbers in [0,1].
 * @throws AttackError INVALID_SETTING; INVALID_INPUT for a black box or a classifier that draws random numbers
 */
export async function certify(
  engine: Engine,
  classifier: Classifier,
  image: Float32Array,
  options: SmoothingOptions,
): Promise<Certificate> {
  checkSmoothing(classifier, options);
  const { sigma, selection, estimation, alpha } = { ...SMOOTHING, ...options };
  const guess = argmax(
    Float32Array.from(await counts(engine, classifier, image, options, 'smoothing.select', selection)),
  );
  const votes = await counts(engine, classifier, image, options, 'smoothing.estimate', estimation);
  // Clopper and Pearson's lower end at 1 - 2 alpha is the one-sided bound at 1 - alpha.
  const probability = clopperPearson(votes[guess] ?? 0, estimation, 1 - 2 * alpha).low;
  const forwards = selection + estimation;
  if (probability <= 0.5) return { prediction: undefined, radius: 0, probability, forwards };
  return { prediction: guess, radius: sigma * normalQuantile(probability), probability, forwards };
}

/**
 * @param path of the settings, which errors begin with
 * @throws AttackError INVALID_SETTING; INVALID_INPUT for a black box or a classifier that draws random numbers
 */
export function checkSmoothing(classifier: Classifier, smoothing: Smoothing, path = ''): void {
  const { sigma, selection, estimation, alpha } = { ...SMOOTHING, ...smoothing };
  if (!(sigma > 0 && Number.isFinite(sigma)))
    throw new AttackError('INVALID_SETTING', `${path}sigma`, `${sigma} is not a positive number`);
  for (const [name, draws] of Object.entries({ selection, estimation }))
    if (!Number.isInteger(draws) || draws < 1)
      throw new AttackError('INVALID_SETTING', `${path}${name}`, `${draws} is not a positive integer`);
  if (!(alpha > 0 && alpha < 0.5))
    throw new AttackError('INVALID_SETTING', `${path}alpha`, `${alpha} is not between 0 and 0.5`);
  const obstacle = isQueried(classifier)
    ? `is a black box: ${classifier.blackBox}`
    : isRandom(classifier) && 'draws random numbers of its own';
  if (obstacle)
    throw new AttackError('INVALID_INPUT', 'classifier', `${classifier.id} cannot be certified: it ${obstacle}`);
}

/** How often each class wins under noise. */
async function counts(
  engine: Engine,
  classifier: Classifier,
  image: Float32Array,
  { sigma, seed, sample, batchSize = 100, signal }: SmoothingOptions,
  stream: string,
  draws: number,
): Promise<number[]> {
  const votes = Array.from({ length: classifier.classes }, () => 0);
  for (let from = 0; from < draws; from += batchSize) {
    await setImmediate(); // the engine holds the event loop: let an abort arrive
    signal?.throwIfAborted();
    const data = new Float32Array(batchSize * image.length);
    for (let i = 0; i < batchSize; i++) {
      const noise = normal({ seed, stream, step: from + i, sample }, image.length);
      for (let k = 0; k < image.length; k++) data[i * image.length + k] = (image[k] ?? 0) + sigma * (noise[k] ?? 0);
    }
    const inputs = { parameters: classifier.parameters, points: float32(data, [batchSize, ...classifier.input]) };
    const { logits } = await runCompiled(engine, 'logits', logitsOf(classifier.forward), inputs);
    const scores = logits.data as Float32Array;
    for (let i = 0; i < Math.min(batchSize, draws - from); i++) {
      const winner = argmax(scores.subarray(i * classifier.classes, (i + 1) * classifier.classes));
      votes[winner] = (votes[winner] ?? 0) + 1;
    }
  }
  return votes;
}
