import {
  attackNamed,
  type CertifiedAccuracy as Certified,
  chosenSettings,
  type EpsilonQuantile as Quantile,
  type AttackResult as Result,
  type Proportion as Share,
  type SmallestEpsilons as Smallest,
  type MaskingVerdict as Verdict,
  type WorstCase,
} from '@jsigr/attacks';
import {
  AdversarialExample,
  AttackAccess,
  AttackResult,
  CertifiedAccuracy,
  EpsilonQuantile,
  EpsilonSummary,
  MaskingVerdict,
  Proportion,
  RobustnessReport,
  SmallestEpsilons,
  TransferMatrix,
} from '@jsigr/proto';
import type { EvaluateArgument, EvaluateResult, Example, MatrixArgument, MatrixResult } from './methods.ts';

const CONFIDENCE = 0.95;

const access: Record<Result['access'], AttackAccess> = {
  'white-box': AttackAccess.ATTACK_ACCESS_WHITE_BOX,
  transfer: AttackAccess.ATTACK_ACCESS_TRANSFER,
  control: AttackAccess.ATTACK_ACCESS_CONTROL,
  score: AttackAccess.ATTACK_ACCESS_SCORE,
  decision: AttackAccess.ATTACK_ACCESS_DECISION,
};

const verdicts: Record<Verdict, MaskingVerdict> = {
  no_sign: MaskingVerdict.MASKING_VERDICT_NO_SIGN,
  suspected: MaskingVerdict.MASKING_VERDICT_SUSPECTED,
  evident: MaskingVerdict.MASKING_VERDICT_EVIDENT,
};

export interface ReportNames {
  /** datasets/{id} */
  readonly dataset: string;
  /** Digest of the ledger in the artefact store. */
  readonly ledger: string;
}

/** What the thread found, as the contract says it. */
export function robustnessReport(
  argument: EvaluateArgument,
  { report, step, epoch, input, remarks, examples }: EvaluateResult,
  { dataset, ledger }: ReportNames,
): RobustnessReport {
  return RobustnessReport.fromPartial({
    model: `models/${argument.model}`,
    step,
    epoch,
    dataset,
    part: argument.part,
    cleanAccuracy: proportion(report.clean),
    attacks: report.attacks.map(attackResult),
    // An epsilon at which only noise was tried says nothing about attacks.
    epsilons: report.worstCase.filter(({ whiteBox, transferred }) => whiteBox ?? transferred).map(epsilonSummary),
    surrogates: argument.surrogates.map((digest) => `models/${digest}`),
    seed: argument.seed,
    masking:
      report.masking === 'not assessed'
        ? MaskingVerdict.MASKING_VERDICT_NOT_ASSESSED
        : verdicts[report.masking.verdict],
    maskingSignals:
      report.masking === 'not assessed'
        ? []
        : report.masking.signals.map((signal) => ({ ...signal, verdict: verdicts[signal.verdict] })),
    seconds: report.seconds,
    ledger,
    examples: examples.map((example) => adversarialExample(example, input)),
    smallestEpsilons: report.smallestEpsilons.map(smallest),
    ...(report.certified && { certifiedAccuracy: certified(report.certified) }),
    flags: [...report.flags.map(({ message }) => message), ...remarks],
  });
}

/** The matrix that the thread found, as the contract says it. */
export function matrixReport(
  { models, seed }: MatrixArgument,
  { matrix }: MatrixResult,
  { dataset, ledger }: ReportNames,
): TransferMatrix {
  const { samples, cleanErrors, commonSamples, tables, forwards, backwards, seconds, flags } = matrix;
  return TransferMatrix.fromPartial({
    models: models.map((digest) => `models/${digest}`),
    dataset,
    part: 'test',
    samples,
    cleanErrors: cleanErrors.map(proportion),
    commonSamples,
    tables: tables.map(({ attack, norm, epsilon, settings, cells, ...table }) => ({
      attack,
      access: access[table.access],
      norm,
      epsilon,
      settings: chosenSettings(attackNamed(attack), settings),
      cells: cells.map((cell) => ({ ...cell, common: proportion(cell.common), own: proportion(cell.own) })),
    })),
    seed,
    forwards,
    backwards,
    seconds,
    ledger,
    flags: [...flags],
  });
}

function attackResult(result: Result): AttackResult {
  const { attack, norm, epsilon, settings, robustAccuracy, successRate, forwards, backwards, seconds, attempts } =
    result;
  const { unattempted, cutShort } = result;
  return AttackResult.fromPartial({
    attack,
    norm,
    epsilon,
    access: access[result.access],
    robustAccuracy: proportion(robustAccuracy),
    attackSuccess: proportion(successRate),
    forwards,
    backwards,
    seconds,
    attempts,
    unattempted,
    cutShort,
    settings: chosenSettings(attackNamed(attack), settings),
  });
}

function smallest({ attack, norm, settings, largest, turned, quantiles, ...rest }: Smallest): SmallestEpsilons {
  const { forwards, backwards, seconds } = rest;
  return SmallestEpsilons.fromPartial({
    ...{ attack, norm, forwards, backwards, seconds },
    settings: chosenSettings(attackNamed(attack), settings),
    access: access[rest.access],
    largestEpsilon: largest,
    turned: proportion(turned),
    quantiles: quantiles.map(quantile),
  });
}

function quantile({ share, epsilon, low, high }: Quantile): EpsilonQuantile {
  return { share, epsilon, lower: low, upper: high };
}

function certified({ curve, ...rest }: Certified): CertifiedAccuracy {
  const shares = curve.map(({ radius, accuracy }) => ({ radius, accuracy: proportion(accuracy) }));
  return CertifiedAccuracy.fromPartial({ ...rest, shares });
}

function epsilonSummary({ norm, epsilon, whiteBox, transferred }: WorstCase): EpsilonSummary {
  return EpsilonSummary.fromPartial({
    norm,
    epsilon,
    ...(whiteBox ? { whiteBox: proportion(whiteBox) } : {}),
    ...(transferred ? { transferred: proportion(transferred) } : {}),
  });
}

function proportion({ count, total, low, high }: Share): Proportion {
  const value = total === 0 ? 0 : count / total;
  return Proportion.fromPartial({
    successes: count,
    trials: total,
    value,
    lower: low,
    upper: high,
    confidence: CONFIDENCE,
  });
}

function adversarialExample({ row, image, settings }: Example, input: readonly number[]): AdversarialExample {
  return AdversarialExample.fromPartial({
    attack: row.attack,
    norm: row.norm,
    settings,
    epsilon: row.epsilon,
    index: row.sample,
    label: row.labelBefore,
    predictedBefore: row.labelBefore,
    predictedAfter: row.labelAfter,
    image: { shape: [...input], data: Buffer.from(image.buffer, image.byteOffset, image.byteLength) },
  });
}
