import type { NdArray } from '@jsigr/engine';
import { TrainingError } from './errors.ts';

/** Above this a loss has diverged: cross-entropies are of the order of 10, and penalties fall once they are felt. */
export const MAX_LOSS = 1e6;

const ADVICE = 'lower the learning rate or the weight of the penalty, or let the penalties start later';

/**
 * The loss, the sum of its terms.
 * @throws TrainingError NOT_FINITE naming the first term that is not a number, DIVERGED naming the largest if the sum is over MAX_LOSS.
 */
export function checkLoss(terms: Readonly<Record<string, number>>, step: number): number {
  for (const [name, value] of Object.entries(terms))
    if (!Number.isFinite(value))
      throw new TrainingError('NOT_FINITE', name, `the loss term ${name} is ${value} at step ${step}: ${ADVICE}`, {
        step,
      });
  const loss = Object.values(terms).reduce((sum, value) => sum + value, 0);
  if (Math.abs(loss) <= MAX_LOSS) return loss;
  const [name = '', value = 0] = Object.entries(terms).toSorted(([, a], [, b]) => b - a)[0] ?? [];
  throw new TrainingError(
    'DIVERGED',
    name,
    `the loss is ${loss} at step ${step} (${name} is ${value}), over ${MAX_LOSS}: ${ADVICE}`,
    { step },
  );
}

/** @throws TrainingError NOT_FINITE naming the first parameter that is not all numbers. */
export function checkFinite(parameters: Readonly<Record<string, NdArray>>, step: number): void {
  for (const [name, { data }] of Object.entries(parameters))
    for (const value of data)
      if (!Number.isFinite(value))
        throw new TrainingError('NOT_FINITE', name, `${name} holds ${value} after step ${step}: ${ADVICE}`, { step });
}
