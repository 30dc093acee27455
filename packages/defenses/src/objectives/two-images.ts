import type { Tensor } from '@tensorflow/tfjs-core';
import { attackSettings, ballRule } from './inner-attack.ts';
import type { TracedBatch } from './objective.ts';
import { type Rule, rampRule, rampSettings, weight, withRules } from './settings.ts';

/** Settings of objectives that weigh how far the prediction moves within the ball. @param weightText what `divergenceWeight` is in the paper */
export function divergenceSettings(
  initial: number,
  weightText: string,
  rules: readonly Rule<{ readonly divergenceWeight: number }>[] = [],
) {
  return withRules({ ...attackSettings, divergenceWeight: weight(initial).describe(weightText), ...rampSettings(0) }, [
    ballRule,
    rampRule,
    ...rules,
  ]);
}

/** Logits of the batch's images, and of the other images that `prepare` put beside them under a name. */
export function logitsOfBoth(
  { forward, images, inputs }: TracedBatch,
  beside: string,
): { readonly logits: Tensor; readonly others: Tensor } {
  const found = inputs[beside];
  if (!found) throw new Error(`the batch lacks the input ${beside}`);
  return { logits: forward(images), others: forward(found) };
}
