import { evaluate, profilePlan, robustSamples } from '@jsigr/attacks';
import type { Classifier } from '@jsigr/models';
import { outcomesOf } from './outcomes.ts';
import type { Robustness, WhiteBoxRecord } from './record.ts';
import { batchSizeOf, type StudyContext, type TrainedModel, testSamples, withSignal } from './study-context.ts';

/** Every random number of the attacks comes from it. */
const SEED = 1;

/**
 * The attacks of the profile on a model itself, in every ball, and the look for masked gradients in the main one.
 * @param surrogates standard models of other architectures, for the comparison with transferred examples
 */
export async function attackWhiteBox(
  context: StudyContext,
  { classifier }: TrainedModel,
  surrogates: readonly Classifier[],
): Promise<WhiteBoxRecord> {
  const { profile, engine } = context;
  const { split, indices } = testSamples(context, profile.samples.attacked);
  const cells: Robustness[] = [];
  let clean = outcomesOf([]);
  let masking: WhiteBoxRecord['masking'] = 'not assessed';
  let seconds = 0;
  for (const [i, { norm, epsilons }] of profile.balls.entries()) {
    const began = performance.now();
    const { report, ledger } = await evaluate(engine, {
      target: classifier,
      surrogates,
      split,
      indices,
      input: classifier.input,
      ...profilePlan(`${profile.attack}@${norm}`, epsilons),
      seed: SEED,
      batchSize: batchSizeOf(context),
      assessMasking: i === 0,
      ...withSignal(context),
    });
    seconds += (performance.now() - began) / 1000;
    clean = outcomesOf(ledger.clean.map(({ prediction, label }) => prediction === label));
    if (i === 0) masking = report.masking;
    for (const epsilon of epsilons) {
      const robust = robustSamples(ledger, { norm, epsilon });
      cells.push({ norm, epsilon, robust: outcomesOf(ledger.clean.map(({ sample }) => robust.has(sample))) });
    }
  }
  return { clean, cells, masking, seconds };
}
