import type { Split } from '@jsigr/datasets';
import { type Engine, type NdArray, uniform } from '@jsigr/engine';
import type { Classifier } from '@jsigr/models';
import type { AttackContext } from './attack.ts';
import { piecesOf, samplesOf } from './batches.ts';
import { classes, glance, sizeOfImage, startAt } from './compiled.ts';
import { classify } from './judge.ts';
import { crossEntropy, margin } from './losses.ts';
import { type MaskingSignal, type MaskingVerdict, type Measured, signalsOf } from './masking-signals.ts';
import type { Norm } from './norms.ts';
import { logitsOfRows, margins } from './queries.ts';
import { ensembleOf } from './randomised.ts';
import { attackNamed } from './registry.ts';
import { viewOf } from './rows.ts';
import { runAttack } from './runner.ts';

export interface MaskingOptions {
  readonly target: Classifier;
  /** With them transferred examples are compared too. */
  readonly surrogates?: readonly Classifier[];
  readonly split: Split;
  /** A few dozen to a few hundred samples; those that are correctly classified are looked at. */
  readonly indices: readonly number[];
  readonly norm: Norm;
  readonly epsilon: number;
  readonly seed: number;
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

/** JSON-able. The verdict is the gravest of the signals'. `no_sign` says that these looks found nothing, not that there is nothing. */
export interface MaskingAssessment {
  readonly verdict: MaskingVerdict;
  readonly samples: number;
  readonly signals: readonly MaskingSignal[];
}

/** Of fewer samples nothing can be said. */
export const LEAST_MASKING_SAMPLES = 8;

/**
 * Looks for masked gradients.
 * @returns undefined where too few samples are correctly classified: nothing was assessed.
 * @throws AttackError as the attacks.
 */
export async function assessMasking(engine: Engine, options: MaskingOptions): Promise<MaskingAssessment | undefined> {
  const { target, split, indices, seed, batchSize = 64, signal } = options;
  const predictions = await classify(engine, target, split, indices, { batchSize, seed, ...(signal && { signal }) });
  const correct = indices.filter((sample, i) => predictions[i] === split.labels[sample]);
  if (correct.length < LEAST_MASKING_SAMPLES) return undefined;
  const found = signalsOf({
    samples: correct.length,
    ...(await lookAtGradients(engine, options, correct, batchSize)),
    ...(await attackAll(engine, options, correct, batchSize)),
  });
  const worst = found.map(({ verdict }) => ORDER.indexOf(verdict));
  return { verdict: ORDER[Math.max(0, ...worst)] ?? 'no_sign', samples: correct.length, signals: found };
}

const ORDER: readonly MaskingVerdict[] = ['no_sign', 'suspected', 'evident'];

/** Random directions that the gradient is compared with. */
const DIRECTIONS = 8;

type Gradients = Pick<Measured, 'zeroGradients' | 'zeroMarginGradients' | 'notFinite' | 'blindGradients' | 'unsteady'>;

async function lookAtGradients(
  engine: Engine,
  options: MaskingOptions,
  correct: readonly number[],
  batchSize: number,
): Promise<Gradients> {
  const totals = { zeroGradients: 0, zeroMarginGradients: 0, notFinite: 0, blindGradients: 0, unsteady: 0 };
  for (const piece of piecesOf(correct, batchSize)) {
    options.signal?.throwIfAborted();
    const samples = samplesOf(options.split, options.target.input, piece);
    const context: AttackContext = {
      engine,
      source: options.target,
      ...samples,
      norm: options.norm,
      epsilons: piece.map(() => options.epsilon),
      seed: options.seed,
      attempts: piece.map(() => 0),
      batchSize,
    };
    const seen = await lookAtPiece(context);
    for (const key of Object.keys(totals) as (keyof Gradients)[])
      totals[key] += seen[key].filter(Boolean).length / correct.length;
  }
  return totals;
}

/** For each sample of a batch what is wrong with its gradient. */
async function lookAtPiece(context: AttackContext): Promise<Record<keyof Gradients, boolean[]>> {
  const rows = context.sampleIndices.map((_, row) => row);
  const view = viewOf(context, rows);
  const targets = classes(view.rows.map(() => 0));
  const [entropy, gap] = [
    await glance(context, view, view.images, { loss: crossEntropy, step: 0, targets }),
    await glance(context, view, view.images, { loss: margin, step: 0, targets }),
  ];
  const size = sizeOfImage(view);
  const entries = (array: NdArray, row: number) => array.data.subarray(row * size, (row + 1) * size);
  // Along the gradient by as much as the ball allows, against as long random steps.
  const along = await startAt(context, view, 'masking.start', (place) =>
    directionOf(context.norm, entries(gap.gradient, place)),
  );
  const rises = [await margins(context, view, along, 1)];
  for (let i = 0; i < DIRECTIONS; i++) {
    const random = await startAt(context, view, 'masking.start', (place) => {
      const address = {
        seed: context.seed,
        stream: 'masking.direction',
        step: i,
        sample: view.sampleIndices[place] ?? 0,
      };
      return directionOf(
        context.norm,
        uniform(address, size).map((u) => 2 * u - 1),
      );
    });
    rises.push(await margins(context, view, random, 1));
  }
  const [own, ...others] = rises;
  const [first, second] = [
    await logitsOfRows(context, context.images, rows, 10),
    await logitsOfRows(context, context.images, rows, 11),
  ];
  return {
    zeroGradients: rows.map((row) => entries(entropy.gradient, row).every((value) => value === 0)),
    zeroMarginGradients: rows.map((row) => entries(gap.gradient, row).every((value) => value === 0)),
    notFinite: rows.map((row) =>
      [entropy, gap].some(({ gradient }) => entries(gradient, row).some((value) => !Number.isFinite(value))),
    ),
    blindGradients: rows.map((row) => others.some(({ data }) => (data[row] ?? 0) > (own?.data[row] ?? 0))),
    unsteady: rows.map((row) => (first[row] ?? []).some((value, k) => value !== second[row]?.[k])),
  };
}

/** A direction of length 1: signs in linf, else scaled. What is not a number counts as nothing. */
function directionOf(norm: Norm, numbers: ArrayLike<number>): Float32Array {
  const finite = Float32Array.from(numbers, (value) => (Number.isFinite(value) ? value : 0));
  const largest = finite.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const direction = finite.map((value) => (norm.name === 'linf' ? Math.sign(value) : value / largest));
  const length = norm.lengthOf(direction) || 1;
  return direction.map((value) => value / length);
}

async function attackAll(
  engine: Engine,
  options: MaskingOptions,
  correct: readonly number[],
  batchSize: number,
): Promise<Omit<Measured, keyof Gradients | 'samples'>> {
  const { target, surrogates = [], norm, split, seed, signal } = options;
  const size = target.input[0] * target.input[1] * target.input[2];
  const fooledBy = async (name: string, settings: object, epsilon = options.epsilon): Promise<ReadonlySet<number>> => {
    const attack = attackNamed(name);
    const isTransfer = attack.access === 'transfer';
    const rows = await runAttack({
      engine,
      target,
      source: isTransfer ? ensembleOf(surrogates, 'surrogates') : target,
      members: isTransfer ? surrogates : [target],
      attack,
      settings,
      norm,
      epsilon,
      seed,
      split,
      indices: correct,
      batchSize,
      ...(signal && { signal }),
    });
    return new Set(rows.filter(({ success }) => success).map(({ sample }) => sample));
  };
  const fooledIfKnown = async (name: string, settings: object) =>
    attackNamed(name).norms.includes(norm.name) ? fooledBy(name, settings) : undefined;
  const [fgsm, pgd] = [await fooledIfKnown('fgsm', {}), await fooledBy('pgd', { steps: 20 })];
  const [pgdMargin, pgdRestarts] = [
    await fooledBy('pgd', { steps: 20, loss: 'margin' }),
    await fooledBy('pgd', { steps: 20, restarts: 5 }),
  ];
  const unbounded = await fooledBy('pgd', { steps: 20, loss: 'margin' }, norm.diameter(size));
  const noise = await fooledBy('noise', { restarts: 10 });
  const queries = await fooledIfKnown('square', { queries: 500 });
  const transferred = surrogates.length > 0 ? await fooledBy('mi-fgsm', {}) : undefined;
  const gradients = new Set([...(fgsm ?? []), ...pgd, ...pgdMargin, ...pgdRestarts]);
  const share = (count: number) => count / correct.length;
  const alone = (fooled: ReadonlySet<number>) => share([...fooled].filter((sample) => !gradients.has(sample)).length);
  return {
    fgsm: fgsm && share(fgsm.size),
    pgd: share(pgd.size),
    pgdMargin: share(pgdMargin.size),
    pgdRestarts: share(pgdRestarts.size),
    unbounded: share(unbounded.size),
    noise: share(noise.size),
    queriesAlone: queries && alone(queries),
    noiseAlone: alone(noise),
    transferAlone: transferred && alone(transferred),
  };
}
