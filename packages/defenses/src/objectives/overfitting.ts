import type { NdArray } from '@jsigr/engine';
import { argmax, predict } from '@jsigr/models';
import * as z from 'zod';
import { adversarialExamples, type InnerAttack } from './inner-attack.ts';
import type { PrepareContext, Probe } from './objective.ts';

export const overfittingSettings = {
  probeSamples: z
    .int()
    .min(0)
    .max(10_000)
    .default(128)
    .describe(
      'images that FGSM and PGD attack after every epoch to see catastrophic overfitting, 0..10000; 0: nobody looks',
    ),
  overfittingDrop: z
    .number()
    .min(0.05)
    .max(1)
    .default(0.2)
    .describe(
      'training stops when PGD accuracy is so much below its best in the whole ball and below FGSM accuracy, or is nothing while FGSM accuracy is twice this; 0.05..1, a fraction of the images',
    ),
};

/** A PGD accuracy that is as good as none. */
const NOTHING = 0.02;

/** Steps of the PGD that looks behind FGSM. */
const PGD_STEPS = 10;

/** One epoch as the probe saw it: fractions 0..1 of the images that both attacks leave right. */
export interface OverfittingRecord {
  readonly fgsmAccuracy: number;
  readonly pgdAccuracy: number;
}

/**
 * Catastrophic overfitting (Wong et al., arXiv 2001.03994, section 5.3): within an epoch the network learns to withstand the one step it is
 * trained on and nothing else. It is seen when, in the newest epoch, PGD accuracy lies `drop` below the best epoch before and below FGSM's;
 * or, where it came before any robustness did, when PGD leaves nothing while FGSM leaves two drops.
 */
export function hasOverfitted(history: readonly OverfittingRecord[], drop: number): boolean {
  const newest = history.at(-1);
  if (!newest) return false;
  const best = Math.max(...history.slice(0, -1).map(({ pgdAccuracy }) => pgdAccuracy), Number.NEGATIVE_INFINITY);
  const { fgsmAccuracy, pgdAccuracy } = newest;
  const fell = pgdAccuracy <= best - drop && pgdAccuracy <= fgsmAccuracy - drop;
  return fell || (pgdAccuracy <= NOTHING && fgsmAccuracy >= 2 * drop);
}

/**
 * The watch over single-step training; absent where no image is looked at. While the ball warms up it attacks in what was trained on so far: nothing
 * withstands the whole ball yet. Accuracies in a growing ball fall by themselves, so that only those in the whole one are held against each other.
 */
export function overfittingProbe(
  { probeSamples, overfittingDrop }: { readonly probeSamples: number; readonly overfittingDrop: number },
  attack: InnerAttack,
): Probe | undefined {
  if (probeSamples === 0) return undefined;
  return {
    samples: probeSamples,
    comparableFrom: attack.epsilonWarmupEpochs,
    measure: async (context) => ({
      fgsmAccuracy: await accuracyUnder(
        { ...attack, steps: 1, stepSize: attack.epsilon || undefined, randomStart: false },
        context,
      ),
      pgdAccuracy: await accuracyUnder(
        { ...attack, steps: PGD_STEPS, stepSize: undefined, randomStart: true },
        context,
      ),
    }),
    alarm: (history) => {
      const records = history.map(({ fgsmAccuracy = 0, pgdAccuracy = 0 }) => ({ fgsmAccuracy, pgdAccuracy }));
      if (!hasOverfitted(records, overfittingDrop)) return undefined;
      const { fgsmAccuracy = 0, pgdAccuracy = 0 } = records.at(-1) ?? {};
      return `catastrophic overfitting: FGSM accuracy is ${fgsmAccuracy.toFixed(3)}, PGD-${PGD_STEPS} accuracy is ${pgdAccuracy.toFixed(3)}; use a smaller stepFactor or epsilon, a lower learning rate, or pgd-at`;
    },
  };
}

async function accuracyUnder(attack: InnerAttack, context: PrepareContext): Promise<number> {
  const images = await adversarialExamples(attack, context);
  const { logits } = await predict(context.engine, context.classifier, images);
  return correctFraction(logits, context.labels);
}

/** Fraction of the rows of logits `[batch, classes]` whose largest is the label's. */
export function correctFraction(logits: NdArray, labels: NdArray): number {
  const [batch = 1, classes = 1] = logits.shape;
  const data = logits.data as Float32Array;
  let correct = 0;
  for (let row = 0; row < batch; row++)
    if (argmax(data.subarray(row * classes, (row + 1) * classes)) === labels.data[row]) correct++;
  return correct / batch;
}
