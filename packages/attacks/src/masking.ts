import type { Split } from '@jsigr/datasets';
import { type Engine, type NdArray, uniform } from '@jsigr/engine';
import { type Classifier, ensemble } from '@jsigr/models';
import type { AttackContext } from './attack.ts';
import { piecesOf, samplesOf } from './batches.ts';
import { classes, glance, sizeOfImage, startAt } from './compiled.ts';
import { classify } from './judge.ts';
import { crossEntropy, margin } from './losses.ts';
import type { Norm } from './norms.ts';
import { logitsOfRows, margins } from './queries.ts';
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

export type MaskingVerdict = 'no_sign' | 'suspected' | 'evident';

/** One thing that was looked at. */
export interface MaskingSignal {
  readonly name: keyof typeof signals;
  readonly verdict: MaskingVerdict;
  /** With its figures, in plain words. */
  readonly evidence: string;
}

/** JSON-able. The verdict is the gravest of the signals'. `no_sign` says that these looks found nothing, not that there is nothing. */
export interface MaskingAssessment {
  readonly verdict: MaskingVerdict;
  readonly samples: number;
  readonly signals: readonly MaskingSignal[];
}

/** What was measured, as shares of the correctly classified samples. */
interface Measured {
  readonly zeroGradients: number;
  readonly zeroMarginGradients: number;
  readonly notFinite: number;
  /** Where the loss rises more along the best of some random directions than along its gradient. */
  readonly blindGradients: number;
  /** Two looks at the same image differ. */
  readonly unsteady: number;
  readonly fgsm: number;
  readonly pgd: number;
  readonly pgdMargin: number;
  readonly pgdRestarts: number;
  readonly unbounded: number;
  readonly noise: number;
  /** Fooled by the first, not by any gradient attack. */
  readonly queriesAlone: number;
  readonly noiseAlone: number;
  readonly transferAlone: number | undefined;
}

interface Sign {
  /** From which value on it is a suspicion, and from which it is evident (never: leave it out). */
  readonly suspected: number;
  readonly evident?: number;
  readonly value: (measured: Measured) => number | undefined;
  readonly words: (value: string, measured: Measured) => string;
}

/** What masked gradients look like: Athalye et al., arXiv 1802.00420, section 3.1; Carlini et al., arXiv 1902.06705, section 5. */
const signals = {
  'zero-gradients': {
    suspected: 0.1,
    evident: 0.5,
    value: ({ zeroGradients, zeroMarginGradients }) => Math.max(zeroGradients, zeroMarginGradients),
    words: (value) => `the gradient of a loss is zero at ${value} of the samples`,
  },
  'non-finite-gradients': {
    suspected: 0.001,
    evident: 0.05,
    value: ({ notFinite }) => notFinite,
    words: (value) => `the gradient is not a number at ${value} of the samples`,
  },
  'black-box-beats-white-box': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ queriesAlone }) => queriesAlone,
    words: (value) => `queries alone turn ${value} of the samples that withstand every gradient attack`,
  },
  'transfer-beats-white-box': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ transferAlone }) => transferAlone,
    words: (value) => `transferred examples turn ${value} of the samples that withstand every gradient attack`,
  },
  'one-step-beats-many': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ fgsm, pgd }) => Math.max(fgsm - pgd, 0),
    words: (value) => `one gradient step turns ${value} more of the samples than many steps do`,
  },
  'noise-as-good-as-gradients': {
    suspected: 0.03,
    evident: 0.1,
    value: ({ noiseAlone }) => noiseAlone,
    words: (value) => `noise turns ${value} of the samples that withstand every gradient attack`,
  },
  'unbounded-attack-fails': {
    suspected: 0.02,
    evident: 0.1,
    value: ({ unbounded }) => 1 - unbounded,
    words: (value) => `${value} of the samples withstand gradient attacks of any size`,
  },
  'loss-matters': {
    suspected: 0.15,
    evident: 0.4,
    value: ({ pgd, pgdMargin }) => Math.abs(pgdMargin - pgd),
    words: (value) => `PGD on the margin and on the cross-entropy differ by ${value} of the samples`,
  },
  'restarts-matter': {
    suspected: 0.15,
    value: ({ pgd, pgdRestarts }) => pgdRestarts - pgd,
    words: (value) => `four more random starts turn another ${value} of the samples`,
  },
  'gradient-blinder-than-chance': {
    suspected: 0.3,
    evident: 0.7,
    value: ({ blindGradients }) => blindGradients,
    words: (value) => `at ${value} of the samples the loss rises more along a random direction than along its gradient`,
  },
  'random-at-inference': {
    suspected: 0.001,
    value: ({ unsteady }) => unsteady,
    words: (value) => `two looks at the same image differ at ${value} of the samples`,
  },
} as const satisfies Readonly<Record<string, Sign>>;

/** Looks for masked gradients. @throws AttackError as the attacks. */
export async function assessMasking(engine: Engine, options: MaskingOptions): Promise<MaskingAssessment> {
  const { target, split, indices, seed, batchSize = 64, signal } = options;
  const predictions = await classify(engine, target, split, indices, { batchSize, seed, ...(signal && { signal }) });
  const correct = indices.filter((sample, i) => predictions[i] === split.labels[sample]);
  if (correct.length === 0) return { verdict: 'no_sign', samples: 0, signals: [] };
  const measured = {
    ...(await lookAtGradients(engine, options, correct, batchSize)),
    ...(await attackAll(engine, options, correct, batchSize)),
  };
  const found = Object.entries(signals).flatMap(([name, sign]) => judged(name as keyof typeof signals, sign, measured));
  const worst = found.map(({ verdict }) => ORDER.indexOf(verdict));
  return { verdict: ORDER[Math.max(0, ...worst)] ?? 'no_sign', samples: correct.length, signals: found };
}

const ORDER: readonly MaskingVerdict[] = ['no_sign', 'suspected', 'evident'];

function judged(name: keyof typeof signals, sign: Sign, measured: Measured): MaskingSignal[] {
  const value = sign.value(measured);
  if (value === undefined) return [];
  const verdict =
    value >= (sign.evident ?? Number.POSITIVE_INFINITY) ? 'evident' : value >= sign.suspected ? 'suspected' : 'no_sign';
  return [{ name, verdict, evidence: sign.words(`${(100 * value).toFixed(1)} %`, measured) }];
}

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
): Promise<Omit<Measured, keyof Gradients>> {
  const { target, surrogates = [], norm, split, seed, signal } = options;
  const size = target.input[0] * target.input[1] * target.input[2];
  const fooledBy = async (name: string, settings: object, epsilon = options.epsilon): Promise<ReadonlySet<number>> => {
    const attack = attackNamed(name);
    if (!attack.norms.includes(norm.name)) return new Set();
    const isTransfer = attack.access === 'transfer';
    const rows = await runAttack({
      engine,
      target,
      source: isTransfer ? ensemble(surrogates, 'surrogates') : target,
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
  const [fgsm, pgd] = [await fooledBy('fgsm', {}), await fooledBy('pgd', { steps: 20 })];
  const [pgdMargin, pgdRestarts] = [
    await fooledBy('pgd', { steps: 20, loss: 'margin' }),
    await fooledBy('pgd', { steps: 20, restarts: 5 }),
  ];
  const unbounded = await fooledBy('pgd', { steps: 20, loss: 'margin' }, norm.diameter(size));
  const noise = await fooledBy('noise', { restarts: 10 });
  const queries = await fooledBy('square', { queries: 500 });
  const transferred = surrogates.length > 0 ? await fooledBy('mi-fgsm', {}) : undefined;
  const gradients = new Set([...fgsm, ...pgd, ...pgdMargin, ...pgdRestarts]);
  const share = (count: number) => count / correct.length;
  const alone = (fooled: ReadonlySet<number>) => share([...fooled].filter((sample) => !gradients.has(sample)).length);
  return {
    fgsm: share(fgsm.size),
    pgd: share(pgd.size),
    pgdMargin: share(pgdMargin.size),
    pgdRestarts: share(pgdRestarts.size),
    unbounded: share(unbounded.size),
    noise: share(noise.size),
    queriesAlone: alone(queries),
    noiseAlone: alone(noise),
    transferAlone: transferred && alone(transferred),
  };
}
