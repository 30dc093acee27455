import type { Engine } from '@jsigr/engine';
import { piecesOf, samplesOf } from './batches.ts';
import { glance, sizeOfImage } from './compiled.ts';
import type { EvaluationOptions } from './evaluation-options.ts';
import { type AttackLoss, crossEntropy, margin } from './losses.ts';
import { linf } from './norms.ts';
import type { PlannedAttack } from './plan.ts';
import { viewOf } from './rows.ts';

/** Clean images at which a loss has no gradient to follow. */
export interface DeadGradients {
  readonly loss: string;
  /** Images that were looked at, one pass forward and backward each. */
  readonly looks: number;
  /** Those of them where the gradient is zero or no number. */
  readonly dead: number;
}

/** One look at the gradient of the loss that the plan's attacks raise, at every sample. @returns undefined if no attack follows the target's gradients. */
export async function deadGradients(
  engine: Engine,
  options: EvaluationOptions & { readonly batchSize: number },
  plan: readonly PlannedAttack[],
  samples: readonly number[],
): Promise<DeadGradients | undefined> {
  const { target: source, split, seed, batchSize, signal } = options;
  const loss = lossOf(options, plan);
  if (!loss) return undefined;
  let dead = 0;
  for (const piece of piecesOf(samples, batchSize)) {
    signal?.throwIfAborted();
    const zeros = piece.map(() => 0);
    const place = { engine, source, norm: linf, seed, batchSize, epsilons: zeros, attempts: zeros };
    const context = { ...place, ...samplesOf(split, source.input, piece) };
    const view = viewOf(context, [...piece.keys()]);
    const { gradient } = await glance(context, view, view.images, { loss, step: 0 });
    const size = sizeOfImage(view);
    dead += piece.filter((_, row) =>
      isDead(gradient.data.subarray(row * size, (row + 1) * size) as Float32Array),
    ).length;
  }
  return { loss: loss.name, looks: samples.length, dead };
}

/** The own loss, or the cross-entropy if an attack raises it; others raise margins, of some scale. */
function lossOf({ target, loss }: EvaluationOptions, plan: readonly PlannedAttack[]): AttackLoss | undefined {
  const following = plan.filter(
    ({ attack, settings, source, epsilons }) =>
      source === 'target' && attack.cost(settings, target.classes).backwards > 0 && epsilons.some((each) => each > 0),
  );
  if (following.length === 0) return undefined;
  return loss ?? (following.some(({ settings }) => settings.loss === 'ce') ? crossEntropy : margin);
}

function isDead(gradient: Float32Array): boolean {
  return gradient.every((value) => value === 0) || gradient.some((value) => !Number.isFinite(value));
}
